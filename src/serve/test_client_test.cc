// SPDX-License-Identifier: Apache-2.0
// The tests' client. It stands in a _test.cc file so that it is linked into the test program only.
#include "serve/test_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <thread>

#include "base/check.h"

namespace banyan::serve {

void SleepMs(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

std::string TestResponse::Header(std::string_view name) const {
  const std::size_t at = head.find("\r\n" + std::string(name) + ": ");
  if (at == std::string::npos) return {};
  const std::size_t begin = at + name.size() + 4;
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

TestClient::TestClient(int port, int receive_buffer) {
  socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
  BANYAN_CHECK(socket_ >= 0);
  if (receive_buffer > 0)
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
  const timeval limit{.tv_sec = 20, .tv_usec = 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  BANYAN_CHECK(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
}

TestClient::~TestClient() {
  if (socket_ >= 0) ::close(socket_);
}

bool TestClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

bool TestClient::Fill() {
  char chunk[65536];
  const ssize_t n = ::recv(socket_, chunk, sizeof(chunk), 0);
  if (n <= 0) return false;
  buffer_.append(chunk, static_cast<std::size_t>(n));
  return true;
}

std::string TestClient::ReceiveUntil(std::string_view text) {
  std::size_t at;
  while ((at = buffer_.find(text)) == std::string::npos)
    if (!Fill()) return {};
  std::string out = buffer_.substr(0, at + text.size());
  buffer_.erase(0, out.size());
  return out;
}

TestResponse TestClient::Receive(bool head_only) {
  TestResponse response;
  response.head = ReceiveUntil("\r\n\r\n");
  if (response.head.size() < 12) return response;
  const int status = std::stoi(response.head.substr(9, 3));
  if (!response.Header("Transfer-Encoding").empty()) {
    response.chunked = true;
    for (;;) {
      const std::string line = ReceiveUntil("\r\n");
      std::size_t size = 0;
      if (line.empty()) return response;
      std::from_chars(line.data(), line.data() + line.size(), size, 16);
      while (buffer_.size() < size + 2)
        if (!Fill()) return response;
      response.body += buffer_.substr(0, size);
      BANYAN_CHECK(buffer_.substr(size, 2) == "\r\n");
      buffer_.erase(0, size + 2);
      if (size == 0) break;
    }
  } else if (const std::string length = response.Header("Content-Length"); !length.empty()) {
    const std::size_t size = head_only ? 0 : std::stoul(length);
    while (buffer_.size() < size)
      if (!Fill()) return response;
    response.body = buffer_.substr(0, size);
    buffer_.erase(0, size);
  } else if (status != 204) {
    while (Fill()) {
    }
    response.body.swap(buffer_);
  }
  response.status = status;
  return response;
}

bool TestClient::AtEnd() {
  if (!buffer_.empty()) return false;
  char byte;
  return ::recv(socket_, &byte, 1, 0) == 0;
}

bool TestClient::WasReset() {
  char byte;
  return buffer_.empty() && ::recv(socket_, &byte, 1, 0) < 0 && errno == ECONNRESET;
}

void TestClient::HalfClose() { ::shutdown(socket_, SHUT_WR); }

void TestClient::Reset() {
  const linger hard{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  ::close(socket_);
  socket_ = -1;
}

TestResponse TestClient::Get(std::string_view path) {
  Send("GET " + std::string(path) + " HTTP/1.1\r\nHost: t\r\n\r\n");
  return Receive();
}

TestResponse TestClient::Post(std::string_view path, std::string_view body,
                              std::string_view headers) {
  Send("POST " + std::string(path) + " HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n" +
       std::string(headers) + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
       std::string(body));
  return Receive();
}

}  // namespace banyan::serve
