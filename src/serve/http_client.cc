// SPDX-License-Identifier: Apache-2.0
#include "serve/http_client.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

#include "base/json.h"
#include "base/retry_after.h"

namespace banyan::serve {
namespace {

constexpr std::size_t kMaxHead = 64 << 10;
constexpr std::size_t kMaxError = 1 << 20;

class Connection {
 public:
  ~Connection() {
    if (socket_ >= 0) ::close(socket_);
  }

  Status Open(const std::string& host, const std::string& port) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0)
      return InvalidArgument("{}: {}", host, ::gai_strerror(error));
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, ::freeaddrinfo);
    for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
      const int candidate = ::socket(address->ai_family, address->ai_socktype, 0);
      if (candidate < 0) continue;
      if (::connect(candidate, address->ai_addr, address->ai_addrlen) == 0) {
        socket_ = candidate;
        return OkStatus();
      }
      ::close(candidate);
    }
    return Unavailable("cannot connect to {} port {}: {}", host, port, std::strerror(errno));
  }

  Status Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return Unavailable("the connection broke: {}", std::strerror(errno));
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return OkStatus();
  }

  // Appends what has come; false at the end.
  bool Receive(std::string& out) {
    char chunk[16384];
    const ssize_t n = ::recv(socket_, chunk, sizeof(chunk), 0);
    if (n <= 0) return false;
    out.append(chunk, static_cast<std::size_t>(n));
    return true;
  }

 private:
  int socket_ = -1;
};

// Takes chunk framing off.
class Dechunker {
 public:
  // False when the framing is broken or the last chunk has come, which ended() then says.
  bool Push(std::string& bytes, std::string& body) {
    while (true) {
      if (left_ == 0) {
        const std::size_t end = bytes.find("\r\n", after_chunk_ ? 2 : 0);
        if (end == std::string::npos) return true;
        const std::size_t begin = after_chunk_ ? 2 : 0;
        const auto parsed = std::from_chars(bytes.data() + begin, bytes.data() + end, left_, 16);
        if (parsed.ec != std::errc()) return false;
        if (left_ == 0) {
          ended_ = true;
          return false;
        }
        bytes.erase(0, end + 2);
        after_chunk_ = true;
      }
      const std::size_t take = std::min(left_, bytes.size());
      if (take == 0) return true;
      body.append(bytes, 0, take);
      bytes.erase(0, take);
      left_ -= take;
    }
  }
  bool ended() const { return ended_; }

 private:
  std::size_t left_ = 0;
  bool after_chunk_ = false, ended_ = false;
};

// The value of a header, in any case; empty when absent. `head` ends in a line's end.
std::string_view HeaderOf(std::string_view head, std::string_view name) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  for (std::size_t at = head.find("\r\n"); at + 2 < head.size(); at = head.find("\r\n", at + 2)) {
    std::string_view line = head.substr(at + 2);
    line = line.substr(0, line.find("\r\n"));
    const std::size_t colon = line.find(':');
    if (colon != name.size()) continue;
    if (!std::equal(name.begin(), name.end(), line.begin(),
                    [&](char a, char b) { return lower(a) == lower(b); }))
      continue;
    line.remove_prefix(colon + 1);
    while (line.starts_with(' ') || line.starts_with('\t')) line.remove_prefix(1);
    return line;
  }
  return {};
}

std::string ErrorText(std::string_view body) {
  auto object = ParseJsonObject(body, "reply");
  if (!object.ok()) return std::string(body.substr(0, 500));
  const json::value* error = object->if_contains("error");
  const json::value* message =
      error != nullptr && error->is_object() ? error->get_object().if_contains("message") : nullptr;
  return message != nullptr && message->is_string() ? std::string(View(message->get_string()))
                                                    : std::string(body.substr(0, 500));
}

}  // namespace

Status Fetch(const ClientRequest& request, const std::function<bool(std::string_view)>& on_body) {
  constexpr std::string_view kScheme = "http://";
  std::string_view url = request.url;
  if (!url.starts_with(kScheme)) return InvalidArgument("'{}' does not begin with http://", url);
  url.remove_prefix(kScheme.size());
  const std::string_view authority = url.substr(0, url.find('/'));
  const std::string_view path = authority.size() < url.size() ? url.substr(authority.size()) : "/";
  const std::size_t colon = authority.rfind(':');
  const bool has_port = colon != std::string_view::npos && authority.back() != ']';
  std::string host(authority.substr(0, has_port ? colon : authority.size()));
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  const std::string port(has_port ? authority.substr(colon + 1) : "80");

  Connection connection;
  BANYAN_RETURN_IF_ERROR(connection.Open(host, port));
  std::string head = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
                                 request.body.empty() ? "GET" : "POST", path, authority);
  if (!request.api_key.empty()) head += "Authorization: Bearer " + request.api_key + "\r\n";
  if (!request.body.empty()) {
    head += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n",
                        request.body.size());
  }
  BANYAN_RETURN_IF_ERROR(connection.Send(head + "\r\n" + request.body));

  std::string bytes;
  std::size_t end;
  while ((end = bytes.find("\r\n\r\n")) == std::string::npos) {
    if (bytes.size() > kMaxHead || !connection.Receive(bytes))
      return Unavailable("{} did not answer with HTTP", authority);
  }
  const std::string reply = bytes.substr(0, end + 2);
  bytes.erase(0, end + 4);
  int status = 0;
  if (reply.size() < 12 ||
      std::from_chars(reply.data() + 9, reply.data() + 12, status).ec != std::errc())
    return Unavailable("{} did not answer with HTTP", authority);
  const bool chunked = HeaderOf(reply, "Transfer-Encoding") == "chunked";
  // Of a body that is not in chunks; without it the end of the connection is the end of the body.
  std::optional<std::size_t> left;
  if (const std::string_view length = HeaderOf(reply, "Content-Length");
      !chunked && !length.empty()) {
    std::size_t value = 0;
    if (std::from_chars(length.data(), length.data() + length.size(), value).ec != std::errc())
      return Unavailable("{} did not answer with HTTP", authority);
    left = value;
  }
  Dechunker dechunker;
  std::string body, failure;
  for (bool more = true; more;) {
    bool open = true;
    if (chunked) {
      open = dechunker.Push(bytes, body);
    } else {
      body.swap(bytes);
      if (left) {
        *left -= std::min(*left, body.size());
        open = *left > 0;
      }
    }
    if (status != 200) {
      if (failure.size() < kMaxError) failure += body;
    } else if (!body.empty() && !on_body(body)) {
      return OkStatus();
    }
    body.clear();
    if (!chunked) bytes.clear();
    more = open && connection.Receive(bytes);
  }
  if (status == 200) {
    if (chunked ? dechunker.ended() : left.value_or(0) == 0) return OkStatus();
    return Unavailable("{}: the reply broke off", authority);
  }
  if (status != 429) return Unavailable("{}: {}", status, ErrorText(failure));
  Status full = ResourceExhausted("{}: {}", status, ErrorText(failure));
  const std::string seconds(HeaderOf(reply, "Retry-After"));
  return seconds.empty() ? full : WithRetryAfter(std::move(full), std::atoi(seconds.c_str()));
}

void EventParser::Push(std::string_view bytes) {
  for (char c : bytes) {
    if (c != '\n') {
      line_ += c;
      continue;
    }
    constexpr std::string_view kData = "data: ";
    if (line_.starts_with(kData)) on_data_(std::string_view(line_).substr(kData.size()));
    line_.clear();
  }
}

}  // namespace banyan::serve
