// SPDX-License-Identifier: Apache-2.0
// HTTP as the handlers see it: a request, a reply that may be given from any thread, a table of
// routes, and the server that joins them. The library behind it (Boost.Beast) is named in
// http_server.cc only.
//
// Threads: handlers run on an I/O thread, or on a worker when their route is `heavy` and the body
// is large; they must not block. A handler keeps the Reply for as long as it needs; a Reply that is
// dropped unanswered becomes a 500.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace banyan::serve {

struct Route;

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // percent-decoded, without the query
  std::string query;   // as sent, without the '?'
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string remote;            // the client's address
  const Route* route = nullptr;  // set once found
  std::string path_tail;         // what "{...}" at the end of the route's pattern matched

  std::string_view Header(std::string_view name) const;  // any case; empty when absent
  std::optional<std::string> QueryValue(std::string_view name) const;  // percent-decoded
};

struct HttpResponse {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
};

// Thread-safe. Either Send once, or StartStream, any number of Write, Finish.
class Reply {
 public:
  virtual ~Reply() = default;
  virtual void Send(HttpResponse response) = 0;
  virtual void StartStream(std::string_view content_type) = 0;
  // Queues bytes; never blocks. False when nobody will read them: the client went away, or reads so
  // slowly that the connection is ended (see HttpConfig::max_pending_bytes).
  virtual bool Write(std::string_view bytes) = 0;
  virtual void Finish() = 0;
  // `callback` is called once when the client goes away before the reply is complete, at once if it
  // already has. Called on an I/O thread, or within this call.
  virtual void OnGone(std::function<void()> callback) = 0;
  // Runs `task` on the connection's I/O thread, at once or `delay` from now (to about 0.1 s). What
  // it throws becomes the reply, or cuts the stream off.
  virtual void Run(std::function<void()> task) = 0;
  virtual void RunAfter(std::chrono::milliseconds delay, std::function<void()> task) = 0;
};
using ReplyPtr = std::shared_ptr<Reply>;
// The request is there until the call returns.
using Handler = std::function<void(const HttpRequest&, const ReplyPtr&)>;

// Who may call a route.
enum class Access : uint8_t { kOpen, kNormal, kAdmin };

struct Route {
  std::string method;
  std::string pattern;  // "/v1/models" or "/v1/models/{model}": the last part may be a placeholder,
                        // which takes the rest of the path
  Access access = Access::kNormal;
  bool heavy = false;  // large bodies go to a worker thread
  Handler handler;
};

class Router {
 public:
  // `methods`: one or several, "GET|POST".
  void Add(std::string_view methods, std::string_view pattern, Access access, bool heavy,
           Handler handler);

  struct Match {
    const Route* route = nullptr;
    std::string tail;
    std::string allow;  // no route, but the path has others: their methods, for a 405
  };
  // HEAD is answered by GET's route.
  Match Find(std::string_view method, std::string_view path) const;
  const std::vector<std::unique_ptr<Route>>& routes() const { return routes_; }

 private:
  std::vector<std::unique_ptr<Route>> routes_;
};

// kInvalidArgument when a '%' is not followed by two hex digits or the result holds a zero byte.
// `plus_is_space` as in queries.
StatusOr<std::string> PercentDecode(std::string_view text, bool plus_is_space);

struct HttpConfig {
  std::string host = "127.0.0.1";
  int port = 30000;         // 0: any free one
  std::string unix_socket;  // a path; then host and port are not used
  int io_threads = 1;
  int worker_threads = 1;

  std::size_t max_header_bytes = 64 << 10;
  std::size_t max_body_bytes = 64 << 20;
  // What of one stream may wait for its client whatever that does. Beyond it the stream goes on
  // only while the client takes bytes of it at least every stall_timeout, up to max_backlog_bytes,
  // and while all streams' bytes together are below max_total_backlog_bytes. A stream of which
  // nothing waits takes an event of any size.
  std::size_t max_pending_bytes = 8 << 20;
  std::size_t max_backlog_bytes = 256 << 20;
  std::size_t max_total_backlog_bytes = std::size_t{1} << 30;
  std::size_t heavy_body_bytes = 16 << 10;
  int max_connections = 4096;
  int max_pipelined = 16;  // requests of one connection read ahead of their replies
  std::chrono::milliseconds idle_timeout{75'000};   // between requests
  std::chrono::milliseconds read_timeout{30'000};   // for a header, and between parts of a body
  std::chrono::milliseconds body_timeout{300'000};  // for a whole body
  std::chrono::milliseconds stall_timeout{5'000};   // without progress, with much waiting
  std::chrono::milliseconds write_timeout{60'000};  // without progress
  std::chrono::milliseconds linger_timeout{2'000};  // for the client to read a last reply
};

struct HttpAccess {  // one request that has ended
  const HttpRequest& request;
  int status;  // 499: the client went away first
  std::chrono::steady_clock::duration duration;
};

struct HttpHooks {
  // After the header, before the body: a reply refuses the request. Its route may be null.
  std::function<std::optional<HttpResponse>(const HttpRequest&)> admit;
  std::function<void(const HttpRequest&)> began;
  std::function<void(const HttpAccess&)> ended;
};

class HttpServer {
 public:
  // Binds and starts to serve. `router` must not change afterwards.
  static StatusOr<std::unique_ptr<HttpServer>> Start(HttpConfig config,
                                                     std::shared_ptr<const Router> router,
                                                     HttpHooks hooks);
  virtual ~HttpServer() = default;  // closes everything at once

  virtual int port() const = 0;
  virtual int active_requests() const = 0;
  virtual int connections() const = 0;
  // Takes no more connections, answers "Connection: close", and returns when all replies are
  // written or `grace` has passed.
  virtual void Shutdown(std::chrono::milliseconds grace) = 0;
};

}  // namespace banyan::serve
