// SPDX-License-Identifier: Apache-2.0
#include "weights/http_get.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <chrono>
#include <exception>
#include <vector>

#include "absl/strings/numbers.h"
#include "base/version.h"

namespace banyan::weights {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;
using boost::system::error_code;
using boost::system::system_error;

// Where distributions keep the trusted certificates; a statically linked OpenSSL knows only
// Debian's place.
constexpr const char* kBundles[] = {"/etc/ssl/certs/ca-certificates.crt",
                                    "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
                                    "/etc/ssl/cert.pem"};

void TrustSystem(ssl::context& context, const std::string& ca_file) {
  if (!ca_file.empty()) return context.load_verify_file(ca_file);
  for (const char* bundle : kBundles)
    if (access(bundle, R_OK) == 0) return context.load_verify_file(bundle);
  context.set_default_verify_paths();
}

using Clock = std::chrono::steady_clock;

// Without the brackets that an IPv6 address has in a URL.
std::string NameOf(const Url& url) {
  const bool bracketed = url.host.starts_with('[') && url.host.ends_with(']');
  return bracketed ? url.host.substr(1, url.host.size() - 2) : url.host;
}

// A TCP connection of which no step takes longer than it may. As Asio's and Beast's blocking
// operations take it: they cost a fourth of what asynchronous ones do to compile, and here one
// thread waits for one connection.
class TimedStream {
 public:
  using executor_type = asio::ip::tcp::socket::executor_type;
  using lowest_layer_type = asio::ip::tcp::socket;

  TimedStream(asio::io_context& loop, int timeout_seconds)
      : socket_(loop), timeout_(timeout_seconds) {}

  executor_type get_executor() { return socket_.get_executor(); }
  lowest_layer_type& lowest_layer() { return socket_; }

  // The next step begins now.
  void Restart() { deadline_ = Clock::now() + timeout_; }

  // To the first address that answers.
  void Connect(const Url& url) {
    asio::ip::tcp::resolver resolver(socket_.get_executor());
    const auto addresses = resolver.resolve(NameOf(url), url.port);
    Restart();
    error_code error = asio::error::host_not_found;
    for (const auto& address : addresses) {
      error = ConnectTo(address.endpoint());
      if (!error || error == asio::error::timed_out) break;
    }
    if (error) throw system_error(error);
  }

  template <typename Buffers>
  std::size_t read_some(const Buffers& buffers, error_code& error) {
    return Timed(POLLIN, error, [&] { return socket_.read_some(buffers, error); });
  }
  template <typename Buffers>
  std::size_t write_some(const Buffers& buffers, error_code& error) {
    return Timed(POLLOUT, error, [&] { return socket_.write_some(buffers, error); });
  }
  template <typename Buffers>
  std::size_t read_some(const Buffers& buffers) {
    error_code error;
    const std::size_t done = read_some(buffers, error);
    return error ? throw system_error(error) : done;
  }
  template <typename Buffers>
  std::size_t write_some(const Buffers& buffers) {
    error_code error;
    const std::size_t done = write_some(buffers, error);
    return error ? throw system_error(error) : done;
  }

 private:
  error_code ConnectTo(const asio::ip::tcp::endpoint& address) {
    error_code error;
    socket_.close(error);
    if (socket_.open(address.protocol(), error) || socket_.non_blocking(true, error)) return error;
    if (connect(socket_.native_handle(), address.data(), address.size()) == 0) return {};
    int code = errno;
    if (code == EINPROGRESS) {
      if (!Wait(POLLOUT, error)) return error;
      socklen_t size = sizeof(code);
      getsockopt(socket_.native_handle(), SOL_SOCKET, SO_ERROR, &code, &size);
    }
    return {code, boost::system::system_category()};
  }

  template <typename Operation>
  std::size_t Timed(short event, error_code& error, const Operation& operation) {
    while (true) {
      const std::size_t done = operation();
      if (error != asio::error::would_block || !Wait(event, error)) return done;
    }
  }

  bool Wait(short event, error_code& error) {
    pollfd one = {.fd = socket_.native_handle(), .events = event};
    int ready = -1;
    do {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now());
      ready = poll(&one, 1, static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1 << 30)));
    } while (ready < 0 && errno == EINTR);
    error = ready > 0    ? error_code()
            : ready == 0 ? error_code(asio::error::timed_out)
                         : error_code(errno, boost::system::system_category());
    return ready > 0;
  }

  asio::ip::tcp::socket socket_;
  const std::chrono::seconds timeout_;
  Clock::time_point deadline_;
};

class Call {
 public:
  Call(const HttpRequest& request, const Url& url,
       const std::function<bool(const HttpResponse&)>& on_head,
       const std::function<Status(std::string_view)>& on_body)
      : request_(request), url_(url), on_head_(on_head), on_body_(on_body) {}

  Status Run() {
    try {
      asio::io_context loop;
      TimedStream stream(loop, request_.timeout_seconds);
      stream.Connect(url_);
      return url_.tls ? Secure(stream) : Exchange(stream, stream);
    } catch (const system_error& error) {
      return Describe(error.code());
    } catch (const std::exception& error) {
      return Unavailable("{}: {}", url_.host, error.what());
    }
  }

 private:
  Status Describe(const error_code& error) const {
    if (error == asio::error::timed_out)
      return DeadlineExceeded("{} did not answer within {} seconds", url_.host,
                              request_.timeout_seconds);
    if (error.category() == asio::error::get_ssl_category() &&
        error.message().find("certificate") != std::string::npos)
      return PermissionDenied("the certificate of {} is not trusted: {}", url_.host,
                              error.message());
    return Unavailable("{}: {}", url_.host, error.message());
  }

  Status Secure(TimedStream& connection) {
    ssl::context context(ssl::context::tls_client);
    TrustSystem(context, request_.ca_file);
    ssl::stream<TimedStream&> stream(connection, context);
    stream.set_verify_mode(ssl::verify_peer);
    const std::string name = NameOf(url_);
    stream.set_verify_callback(ssl::host_name_verification(name));
    error_code not_an_address;
    asio::ip::make_address(name, not_an_address);
    if (not_an_address && !SSL_set_tlsext_host_name(stream.native_handle(), name.c_str()))
      throw std::runtime_error("the host name is not acceptable");
    connection.Restart();
    stream.handshake(ssl::stream_base::client);
    return Exchange(stream, connection);
  }

  template <typename Stream>
  Status Exchange(Stream& stream, TimedStream& connection) {
    http::request<http::empty_body> request(request_.head_only ? http::verb::head : http::verb::get,
                                            url_.target, 11);
    const bool default_port = url_.port == (url_.tls ? "443" : "80");
    request.set(http::field::host, default_port ? url_.host : url_.host + ":" + url_.port);
    request.set(http::field::user_agent, std::string("banyan/") + kVersion);
    request.set(http::field::accept_encoding, "identity");
    for (const auto& [name, value] : request_.headers) request.set(name, value);
    request.set(http::field::connection, "close");
    connection.Restart();
    http::write(stream, request);

    beast::flat_buffer buffer;
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(boost::none);
    parser.skip(request_.head_only);
    connection.Restart();
    http::read_header(stream, buffer, parser);
    HttpResponse response;
    response.status = static_cast<int>(parser.get().result_int());
    for (const auto& field : parser.get()) {
      std::string name(field.name_string());
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      response.headers[name] = std::string(field.value());
    }
    if (!on_head_(response) || request_.head_only) return OkStatus();

    std::vector<char> chunk(1 << 18);
    while (!parser.is_done()) {
      parser.get().body().data = chunk.data();
      parser.get().body().size = chunk.size();
      error_code error;
      connection.Restart();
      // Some, not a whole buffer: the timeout is for silence, not for a slow line.
      http::read_some(stream, buffer, parser, error);
      const std::size_t got = chunk.size() - parser.get().body().size;
      // What arrived before the connection broke counts.
      if (got > 0) BANYAN_RETURN_IF_ERROR(on_body_({chunk.data(), got}));
      if (error && error != http::error::need_buffer) throw system_error(error);
    }
    return OkStatus();
  }

  const HttpRequest& request_;
  const Url& url_;
  const std::function<bool(const HttpResponse&)>& on_head_;
  const std::function<Status(std::string_view)>& on_body_;
};

}  // namespace

StatusOr<Url> ParseUrl(std::string_view url) {
  Url parsed;
  std::string_view rest = url;
  if (rest.starts_with("https://")) {
    parsed.tls = true;
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else {
    return InvalidArgument("'{}' is not an http:// or https:// address", url);
  }
  const std::size_t path = std::min(rest.find_first_of("/?"), rest.size());
  std::string_view authority = rest.substr(0, path);
  parsed.target = std::string(rest.substr(path, rest.find('#') - path));
  if (!parsed.target.starts_with('/')) parsed.target.insert(0, "/");
  const std::size_t colon = authority.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos;
  parsed.port = has_port ? std::string(authority.substr(colon + 1)) : parsed.tls ? "443" : "80";
  parsed.host = std::string(authority.substr(0, has_port ? colon : authority.size()));
  const auto control = [](char c) { return static_cast<unsigned char>(c) <= ' '; };
  int port = 0;
  if (!absl::SimpleAtoi(parsed.port, &port) || port < 1 || port > 65535)
    return InvalidArgument("'{}' has a port that is none", url);
  if (parsed.host.empty() || parsed.host.find('@') != std::string::npos ||
      std::any_of(url.begin(), url.end(), control))
    return InvalidArgument("'{}' is not an address that can be asked", url);
  return parsed;
}

Status HttpGet(const HttpRequest& request, const std::function<bool(const HttpResponse&)>& on_head,
               const std::function<Status(std::string_view)>& on_body) {
  BANYAN_ASSIGN_OR_RETURN(Url url, ParseUrl(request.url));
  return Call(request, url, on_head, on_body).Run();
}

}  // namespace banyan::weights
