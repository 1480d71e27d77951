// SPDX-License-Identifier: Apache-2.0
// One connection of the HTTP server, and the exchanges (request and reply) on it. Private to
// http_connection.cc and http_server.cc.
//
// A connection lives on one I/O thread. A coroutine reads requests ahead of their replies, up to
// max_pipelined, so that it sees at once when the client goes away; another writes replies in the
// order of the requests. Replies are filled from any thread: bytes are queued under the exchange's
// own lock and the I/O thread is woken once for all exchanges that have become ready.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_set>

#include "serve/http.h"

namespace banyan::serve {

namespace net = boost::asio;
using Executor = net::io_context::executor_type;
using Socket = net::basic_stream_socket<net::generic::stream_protocol, Executor>;
using Timer = net::basic_waitable_timer<std::chrono::steady_clock,
                                        net::wait_traits<std::chrono::steady_clock>, Executor>;
template <typename T>
using Task = net::awaitable<T, Executor>;
using Clock = std::chrono::steady_clock;

class Connection;
class Exchange;

// What all connections share.
struct HttpShared {
  HttpConfig config;
  std::shared_ptr<const Router> router;
  HttpHooks hooks;
  net::thread_pool workers;
  std::atomic<int> connections{0};
  std::atomic<int> active{0};
  std::atomic<bool> draining{false};
  std::atomic<std::size_t> backlog{0};  // of all streams, queued or being written

  HttpShared(HttpConfig c, std::shared_ptr<const Router> r, HttpHooks h)
      : config(std::move(c)),
        router(std::move(r)),
        hooks(std::move(h)),
        workers(static_cast<std::size_t>(config.worker_threads)) {}
};

// One I/O thread: its connections, and the exchanges that have something to write.
class IoThread {
 public:
  explicit IoThread(HttpShared& shared);
  ~IoThread();

  void Start();
  void Stop();  // closes every connection and joins
  void Adopt(Socket socket, std::string remote);
  void Ready(std::shared_ptr<Exchange> exchange);  // any thread; where it throws, it is not queued
  void CloseIdle();                                // any thread
  net::io_context& context() { return context_; }
  HttpShared& shared() { return *shared_; }
  // The Date header's value; this thread only.
  const std::string& date() const { return date_; }

 private:
  friend class Connection;
  void Tick();
  void WriteReady();

  HttpShared* shared_;
  std::unordered_set<Connection*> connections_;  // before context_: what that drops leaves this set
  net::io_context context_{1};
  Timer timer_;
  std::string date_;
  std::thread thread_;

  std::mutex ready_mutex_;
  std::vector<std::shared_ptr<Exchange>> ready_;
  bool woken_ = false;
};

// A request and the state of its reply.
class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(std::shared_ptr<Connection> connection, HttpRequest request, bool http11, bool keep);

  void Send(HttpResponse response);
  void StartStream(std::string_view content_type);
  bool Write(std::string_view bytes);
  void Finish();
  void OnGone(std::function<void()> callback);
  void Abandon();  // nobody will answer any more: a 500, or the stream is cut off
  // Runs `work`. What it throws becomes the reply, or cuts the stream off.
  template <typename F>
  void Guard(F&& work);

  HttpRequest request;
  const bool http11;
  bool keep_alive;
  const Clock::time_point began = Clock::now();

 private:
  friend class Connection;
  friend class IoThread;
  void Wake();
  void Enqueue();  // mutex_ is held
  void MarkGone();
  void Fail(int status, const char* why);
  const char* TooSlow(std::size_t more) const;  // mutex_ is held; null: it is not

  std::shared_ptr<Connection> connection_;  // held until the reply is written or nobody reads it
  IoThread* io_;

  std::mutex mutex_;
  bool answered_ = false, streaming_ = false, done_ = false, gone_ = false;
  const char* cut_ = nullptr;  // why the stream ends before its end
  bool queued_ = false;        // in IoThread::ready_
  HttpResponse response_;      // the head; of a whole reply also the body
  std::string pending_;        // a stream's bytes that are not written yet
  std::function<void()> on_gone_;

  // When the client last took bytes of this reply, or when the first of those in pending_ came.
  std::atomic<Clock::rep> moved_{0};
  bool head_written_ = false;  // I/O thread only
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(IoThread& io, Socket socket, std::string remote);
  ~Connection();

  void Start();
  void Flush();  // starts writing what the first exchange has; where it throws, end the connection
  void Gone();   // closes; ends every exchange
  void CutOff(const char* why);
  bool Overdue(Clock::time_point now) const {
    return now >= write_deadline_ || now >= read_deadline_;
  }
  void TimeOut(Clock::time_point now);
  void CloseIfIdle();

 private:
  friend class Exchange;
  enum class Reading : uint8_t { kIdle, kHeader, kBody, kPaused, kDiscard, kDone };

  Task<void> Read();
  Task<bool> AwaitRequest();
  Task<bool> ReadOne();  // false: no more requests on this connection
  Task<void> Discard();
  Task<bool> Continue();
  Task<void> WriteOut();
  void Linger();
  // What ends a coroutine of this connection: an exception ends the connection too.
  auto OnExit();
  void Dispatch(std::shared_ptr<Exchange> exchange);
  void Answer(HttpRequest request, bool http11, bool keep, HttpResponse response);
  void RefuseAndClose(int status, std::string_view message);
  std::string ComposeHead(Exchange& exchange, std::size_t body_bytes);
  void Ended(Exchange& exchange, int status);

  IoThread* io_;
  Socket socket_;
  std::string remote_;
  boost::beast::flat_buffer buffer_;
  std::deque<std::shared_ptr<Exchange>> exchanges_;
  Timer changed_;  // cancelled to wake the reader when an exchange has ended
  Reading reading_ = Reading::kIdle;
  bool writing_ = false, closed_ = false, close_after_ = false;
  Clock::time_point read_deadline_ = Clock::time_point::max();
  Clock::time_point body_deadline_ = Clock::time_point::max();
  Clock::time_point write_deadline_ = Clock::time_point::max();
};

}  // namespace banyan::serve
