// SPDX-License-Identifier: Apache-2.0
#include "weights/http_get.h"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <chrono>
#include <exception>
#include <vector>

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

class Call {
 public:
  Call(const HttpRequest& request, const Url& url,
       const std::function<bool(const HttpResponse&)>& on_head,
       const std::function<Status(std::string_view)>& on_body)
      : request_(request), url_(url), on_head_(on_head), on_body_(on_body) {}

  Status Run() {
    asio::io_context loop;
    std::exception_ptr failure;
    asio::co_spawn(loop, url_.tls ? Secure() : Plain(),
                   [&](std::exception_ptr thrown) { failure = thrown; });
    try {
      loop.run();
      if (failure) std::rethrow_exception(failure);
    } catch (const system_error& error) {
      return Describe(error.code());
    } catch (const std::exception& error) {
      return Unavailable("{}: {}", url_.host, error.what());
    }
    return status_;
  }

 private:
  Status Describe(const error_code& error) const {
    if (error == beast::error::timeout)
      return DeadlineExceeded("{} did not answer within {} seconds", url_.host,
                              request_.timeout_seconds);
    if (error.category() == asio::error::get_ssl_category() &&
        error.message().find("certificate") != std::string::npos)
      return PermissionDenied("the certificate of {} is not trusted: {}", url_.host,
                              error.message());
    return Unavailable("{}: {}", url_.host, error.message());
  }

  template <typename Stream>
  void Expire(Stream& stream) const {
    beast::get_lowest_layer(stream).expires_after(std::chrono::seconds(request_.timeout_seconds));
  }

  template <typename Stream>
  asio::awaitable<void> Connect(Stream& stream) {
    asio::ip::tcp::resolver resolver(co_await asio::this_coro::executor);
    const auto addresses =
        co_await resolver.async_resolve(url_.host, url_.port, asio::use_awaitable);
    Expire(stream);
    co_await beast::get_lowest_layer(stream).async_connect(addresses, asio::use_awaitable);
  }

  asio::awaitable<void> Plain() {
    beast::tcp_stream stream(co_await asio::this_coro::executor);
    co_await Connect(stream);
    co_await Exchange(stream);
  }

  asio::awaitable<void> Secure() {
    ssl::context context(ssl::context::tls_client);
    TrustSystem(context, request_.ca_file);
    context.set_verify_mode(ssl::verify_peer);
    beast::ssl_stream<beast::tcp_stream> stream(co_await asio::this_coro::executor, context);
    stream.set_verify_callback(ssl::host_name_verification(url_.host));
    if (!SSL_set_tlsext_host_name(stream.native_handle(), url_.host.c_str()))
      throw std::runtime_error("the host name is not acceptable");
    co_await Connect(stream);
    Expire(stream);
    co_await stream.async_handshake(ssl::stream_base::client, asio::use_awaitable);
    co_await Exchange(stream);
  }

  template <typename Stream>
  asio::awaitable<void> Exchange(Stream& stream) {
    http::request<http::empty_body> request(request_.head_only ? http::verb::head : http::verb::get,
                                            url_.target, 11);
    const bool default_port = url_.port == (url_.tls ? "443" : "80");
    request.set(http::field::host, default_port ? url_.host : url_.host + ":" + url_.port);
    request.set(http::field::user_agent, std::string("banyan/") + kVersion);
    request.set(http::field::accept_encoding, "identity");
    for (const auto& [name, value] : request_.headers) request.set(name, value);
    request.set(http::field::connection, "close");
    Expire(stream);
    co_await http::async_write(stream, request, asio::use_awaitable);

    beast::flat_buffer buffer;
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(boost::none);
    parser.skip(request_.head_only);
    Expire(stream);
    co_await http::async_read_header(stream, buffer, parser, asio::use_awaitable);
    HttpResponse response;
    response.status = static_cast<int>(parser.get().result_int());
    for (const auto& field : parser.get()) {
      std::string name(field.name_string());
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      response.headers[name] = std::string(field.value());
    }
    if (!on_head_(response) || request_.head_only) co_return;

    std::vector<char> chunk(1 << 18);
    while (!parser.is_done()) {
      parser.get().body().data = chunk.data();
      parser.get().body().size = chunk.size();
      Expire(stream);
      error_code error;
      // Some, not a whole buffer: the timeout is for silence, not for a slow line.
      co_await http::async_read_some(stream, buffer, parser,
                                     asio::redirect_error(asio::use_awaitable, error));
      const std::size_t got = chunk.size() - parser.get().body().size;
      // What arrived before the connection broke counts.
      if (got > 0) status_ = on_body_({chunk.data(), got});
      if (!status_.ok()) co_return;
      if (error && error != http::error::need_buffer) throw system_error(error);
    }
  }

  const HttpRequest& request_;
  const Url& url_;
  const std::function<bool(const HttpResponse&)>& on_head_;
  const std::function<Status(std::string_view)>& on_body_;
  Status status_;
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
