// SPDX-License-Identifier: Apache-2.0
// The terminal's client against servers that say exactly what a test tells them to.
#include "serve/http_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

namespace banyan::serve {
namespace {

// What Fetch makes of `reply`, after which the server closes the connection; and the body it told.
std::pair<Status, std::string> FetchFrom(std::string_view reply) {
  const int server = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(::bind(server, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::listen(server, 1), 0);
  EXPECT_EQ(::getsockname(server, reinterpret_cast<sockaddr*>(&address), &size), 0);
  std::thread thread([&] {
    const int client = ::accept(server, nullptr, nullptr);
    char request[4096];
    EXPECT_GT(::recv(client, request, sizeof(request), 0), 0);
    EXPECT_EQ(::send(client, reply.data(), reply.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(reply.size()));
    ::close(client);
  });
  std::string body;
  const Status status =
      Fetch({fmt::format("http://127.0.0.1:{}/", ntohs(address.sin_port)), "", ""},
            [&](std::string_view part) {
              body += part;
              return true;
            });
  thread.join();
  ::close(server);
  return {status, body};
}

TEST(HttpClient, ReadsWholeReplies) {
  const std::pair<const char*, const char*> cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "abc"},
      {"HTTP/1.1 200 OK\r\ncontent-length:3\r\n\r\nabc", "abc"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
      {"HTTP/1.0 200 OK\r\n\r\nabc", "abc"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
       "abcd"},
      {"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", ""},
  };
  for (const auto& [reply, body] : cases) {
    const auto [status, told] = FetchFrom(reply);
    EXPECT_TRUE(status.ok()) << status << reply;
    EXPECT_EQ(told, body) << reply;
  }
}

TEST(HttpClient, AReplyThatBreaksOffIsAnError) {
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string& reply :
       {chunked + "3\r\nabc\r\n", chunked + "3\r\nabc", chunked + "5\r\nabc",
        chunked + "3\r\nabc\r\nzz\r\n",
        std::string("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")}) {
    const auto [status, told] = FetchFrom(reply);
    EXPECT_EQ(status.code(), StatusCode::kUnavailable) << status << reply;
    EXPECT_EQ(told, "abc") << reply;
  }
  EXPECT_EQ(FetchFrom(chunked).first.code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace banyan::serve
