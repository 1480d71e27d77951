// SPDX-License-Identifier: Apache-2.0
#include "serve/http.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <mutex>
#include <thread>

#include "serve/errors.h"
#include "serve/test_client.h"

namespace banyan::serve {
namespace {

using std::chrono::milliseconds;

TEST(Router, FindsRoutesAndMethods) {
  Router router;
  router.Add("GET", "/v1/models", Access::kNormal, false, {});
  router.Add("GET", "/v1/models/{model}", Access::kNormal, false, {});
  router.Add("POST|PUT", "/generate", Access::kNormal, true, {});
  EXPECT_EQ(router.Find("GET", "/v1/models").route->pattern, "/v1/models");
  EXPECT_EQ(router.Find("GET", "/v1/models/").route->pattern, "/v1/models");
  EXPECT_EQ(router.Find("HEAD", "/v1/models").route->pattern, "/v1/models");
  EXPECT_EQ(router.Find("GET", "/v1/models/org/name").tail, "org/name");
  EXPECT_EQ(router.Find("PUT", "/generate").route->method, "PUT");
  EXPECT_EQ(router.Find("GET", "/generate").route, nullptr);
  EXPECT_EQ(router.Find("GET", "/generate").allow, "POST, PUT");
  EXPECT_EQ(router.Find("DELETE", "/v1/models").allow, "GET, HEAD");
  EXPECT_EQ(router.Find("GET", "/nothing").allow, "");
}

TEST(PercentDecode, DecodesOrRefuses) {
  EXPECT_EQ(*PercentDecode("/a%20b%2Fc+d", false), "/a b/c+d");
  EXPECT_EQ(*PercentDecode("a+b", true), "a b");
  for (const char* bad : {"%", "%2", "%zz", "a%00b", "%-1"})
    EXPECT_FALSE(PercentDecode(bad, false).ok()) << bad;
}

TEST(HttpRequest, ReadsQueries) {
  HttpRequest request;
  request.query = "a=1&b&c=x%3Dy&=z";
  EXPECT_EQ(request.QueryValue("a"), "1");
  EXPECT_EQ(request.QueryValue("b"), "");
  EXPECT_EQ(request.QueryValue("c"), "x=y");
  EXPECT_EQ(request.QueryValue("d"), std::nullopt);
}

class Http : public testing::Test {
 protected:
  void Start(HttpConfig config = {}) {
    config.port = 0;
    auto router = std::make_shared<Router>();
    router->Add("GET", "/hello", Access::kNormal, false,
                [](HttpRequest, ReplyPtr reply) { reply->Send({.body = "\"hello\""}); });
    router->Add("POST", "/echo", Access::kNormal, true, [](HttpRequest request, ReplyPtr reply) {
      reply->Send({.body = request.body, .content_type = "text/plain"});
    });
    router->Add("GET", "/later", Access::kNormal, false, [this](HttpRequest, ReplyPtr reply) {
      reply->OnGone([this] { ++gone_; });
      std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(reply));
    });
    router->Add("GET", "/stream", Access::kNormal, false, [this](HttpRequest, ReplyPtr reply) {
      reply->OnGone([this] { ++gone_; });
      reply->StartStream("text/event-stream");
      reply->Write("data: 1\n\n");
      std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(reply));
    });
    router->Add("GET", "/drop", Access::kNormal, false, [](HttpRequest, ReplyPtr) {});
    router->Add("GET", "/throw", Access::kNormal, false,
                [](HttpRequest, ReplyPtr) { throw std::runtime_error("x"); });
    router->Add("GET", "/no_memory", Access::kNormal, false,
                [](HttpRequest, ReplyPtr) { throw std::bad_alloc(); });
    router->Add("GET", "/throw_later", Access::kNormal, false, [](HttpRequest, ReplyPtr reply) {
      reply->Run([reply] { throw std::bad_alloc(); });
    });
    router->Add("GET", "/throw_after", Access::kNormal, false, [](HttpRequest, ReplyPtr reply) {
      reply->RunAfter(milliseconds(1), [reply] { throw std::runtime_error("x"); });
    });
    HttpHooks hooks;
    hooks.admit = [](const HttpRequest& request) -> std::optional<HttpResponse> {
      if (request.Header("X-Refuse").empty()) return std::nullopt;
      return ErrorResponse(401, "no");
    };
    hooks.ended = [this](const HttpAccess& access) {
      ++ended_;
      last_status_ = access.status;
      if (!access.request.Header("X-Unlogged").empty()) throw std::bad_alloc();
    };
    auto server = HttpServer::Start(config, router, hooks);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  void TearDown() override {
    waiting_.clear();
    server_.reset();
  }
  ReplyPtr TakeWaiting() {
    EXPECT_TRUE(Eventually([this] {
      std::lock_guard lock(mutex_);
      return !waiting_.empty();
    }));
    std::lock_guard lock(mutex_);
    if (waiting_.empty()) return nullptr;
    ReplyPtr reply = waiting_.front();
    waiting_.erase(waiting_.begin());
    return reply;
  }
  int port() const { return server_->port(); }

  std::unique_ptr<HttpServer> server_;
  std::mutex mutex_;
  std::vector<ReplyPtr> waiting_;
  std::atomic<int> gone_{0}, ended_{0}, last_status_{0};
};

TEST(UnixSocket, AFileThatIsNotItsOwnStays) {
  const std::string path =
      testing::TempDir() + "banyan_http_test_" + std::to_string(::getpid()) + ".sock";
  ::unlink(path.c_str());
  const auto there = [&] { return ::access(path.c_str(), F_OK) == 0; };
  HttpConfig config;
  config.unix_socket = path;
  const auto start = [&] { return HttpServer::Start(config, std::make_shared<Router>(), {}); };
  {
    const auto first = start();
    ASSERT_TRUE(first.ok()) << first.status();
    EXPECT_FALSE(start().ok());
    EXPECT_TRUE(there());
  }
  EXPECT_FALSE(there());
  const int stale = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(::bind(stale, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ::close(stale);
  EXPECT_TRUE(start().ok());
  std::ofstream(path) << "somebody's words";
  EXPECT_FALSE(start().ok());
  EXPECT_TRUE(there());
  ::unlink(path.c_str());
}

TEST_F(Http, KeepsAConnectionForManyRequests) {
  Start();
  TestClient client(port());
  for (int i = 0; i < 3; ++i) {
    const TestResponse response = client.Get("/hello");
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "\"hello\"");
    EXPECT_EQ(response.Header("Content-Type"), "application/json");
    EXPECT_NE(response.Header("Date"), "");
  }
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(Http, AnswersPipelinedRequestsInOrder) {
  Start();
  TestClient client(port());
  client.Send(
      "GET /later HTTP/1.1\r\nHost: t\r\n\r\n"
      "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nab"
      "GET /hello HTTP/1.1\r\nHost: t\r\n\r\n");
  TakeWaiting()->Send({.body = "first"});
  EXPECT_EQ(client.Receive().body, "first");
  EXPECT_EQ(client.Receive().body, "ab");
  EXPECT_EQ(client.Receive().body, "\"hello\"");
}

TEST_F(Http, StopsReadingAheadOfManyPipelinedRequests) {
  Start({.max_pipelined = 2});
  TestClient client(port());
  std::string many;
  for (int i = 0; i < 50; ++i) many += "GET /later HTTP/1.1\r\nHost: t\r\n\r\n";
  client.Send(many);
  for (int i = 0; i < 50; ++i) {
    ReplyPtr reply = TakeWaiting();
    ASSERT_NE(reply, nullptr);
    EXPECT_LE(server_->active_requests(), 2);
    reply->Send({.body = std::to_string(i)});
    EXPECT_EQ(client.Receive().body, std::to_string(i));
  }
}

TEST_F(Http, ReadsChunkedBodies) {
  Start();
  TestClient client(port());
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\n"
      "defg\r\n0\r\n\r\n");
  EXPECT_EQ(client.Receive().body, "abcdefg");
}

// As some clients end a body.
TEST_F(Http, EmptyLinesBeforeARequestMeanNothing) {
  Start();
  TestClient client(port());
  client.Send("\r\n");
  SleepMs(20);
  client.Send("\r\nPOST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi\r\n");
  EXPECT_EQ(client.Receive().body, "hi");
  EXPECT_EQ(client.Post("/echo", "again").body, "again");
}

TEST_F(Http, EmptyLinesAreBounded) {
  Start({.max_header_bytes = 10000});
  TestClient client(port());
  client.Send("GET /later HTTP/1.1\r\nHost: t\r\n\r\n");
  ReplyPtr reply = TakeWaiting();
  for (int i = 0; i < 3; ++i) client.Send(std::string(5000, '\n'));
  reply->Send({.body = "first"});
  EXPECT_EQ(client.Receive().body, "first");
  EXPECT_EQ(client.Receive().status, 400);
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(Http, BodiesMayComeByteByByte) {
  Start();
  TestClient client(port());
  for (char c : std::string("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"))
    client.Send({&c, 1});
  EXPECT_EQ(client.Receive().body, "hello");
}

TEST_F(Http, LargeBodiesGoThroughAWorker) {
  Start();
  TestClient client(port());
  const std::string body(3 << 20, 'x');
  std::thread sender([&] { client.Post("/echo", body); });
  sender.join();
  EXPECT_EQ(client.Post("/echo", body).body.size(), body.size());
}

TEST_F(Http, ExpectContinue) {
  Start();
  TestClient client(port());
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.ReceiveUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("ok");
  EXPECT_EQ(client.Receive().body, "ok");
  client.Send("POST /echo HTTP/1.1\r\nHost: t\r\nExpect: tea\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.Receive().status, 417);
}

TEST_F(Http, RefusesBeforeTheBodyIsRead) {
  Start();
  TestClient client(port());
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: t\r\nX-Refuse: 1\r\nExpect: 100-continue\r\n"
      "Content-Length: 1000000\r\n\r\n");
  const TestResponse response = client.Receive();
  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(response.Header("Connection"), "close");
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(Http, HeadOptionsAndUnknown) {
  Start();
  TestClient client(port());
  client.Send("HEAD /hello HTTP/1.1\r\nHost: t\r\n\r\n");
  const TestResponse head = client.Receive(true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.Header("Content-Length"), "7");
  client.Send("OPTIONS /echo HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(client.Receive().Header("Allow"), "POST");
  const TestResponse wrong = client.Get("/echo");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.Header("Allow"), "POST");
  const TestResponse unknown = client.Get("/nothing");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.body,
            R"({"error":{"message":"there is no GET /nothing","type":"invalid_request_error",)"
            R"("param":null,"code":null}})");
}

TEST_F(Http, Http10ClosesUnlessAsked) {
  Start();
  TestClient client(port());
  client.Send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(client.Receive().Header("Connection"), "keep-alive");
  client.Send("GET /hello HTTP/1.0\r\n\r\n");
  EXPECT_EQ(client.Receive().body, "\"hello\"");
  EXPECT_TRUE(client.AtEnd());
}

TEST_F(Http, Http10StreamsUntilTheEnd) {
  Start();
  TestClient client(port());
  client.Send("GET /stream HTTP/1.0\r\n\r\n");
  ReplyPtr reply = TakeWaiting();
  reply->Write("data: 2\n\n");
  reply->Finish();
  const TestResponse response = client.Receive();
  EXPECT_FALSE(response.chunked);
  EXPECT_EQ(response.body, "data: 1\n\ndata: 2\n\n");
}

TEST_F(Http, StreamsInChunks) {
  Start();
  TestClient client(port());
  client.Send("GET /stream HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_NE(client.ReceiveUntil("data: 1\n\n"), "");  // comes before the stream ends
  ReplyPtr reply = TakeWaiting();
  reply->Write("data: 2\n\n");
  reply->Finish();
  EXPECT_FALSE(reply->Write("late"));
  EXPECT_EQ(client.ReceiveUntil("0\r\n\r\n"), "\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n");
  EXPECT_EQ(client.Get("/hello").status, 200);  // the connection goes on
}

TEST_F(Http, WhatIsNoRequestIsRefused) {
  Start({.max_header_bytes = 2000, .max_body_bytes = 1000});
  const std::pair<std::string, int> cases[] = {
      {"nonsense\r\n\r\n", 400},
      {"GET /hello HTTP/3.7\r\nHost: t\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\r\n\r\n", 400},
      {"GET /%zz HTTP/1.1\r\nHost: t\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\r\nHost: t\r\nX: " + std::string(4000, 'x') + "\r\n\r\n", 431},
      {"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1001\r\n\r\n", 413},
      {"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: -1\r\n\r\n", 400},
      {"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
      {"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400},
      {"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
       400},
      {"GET /hello HTTP/1.1\r\nHost: t\r\nHost: u\r\n\r\n", 400},
      {"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
      {"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
      {"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" +
           std::string(1001, 'x') + "\r\n0\r\n\r\n",
       413},
  };
  for (const auto& [bytes, status] : cases) {
    TestClient client(port());
    client.Send(bytes);
    const TestResponse response = client.Receive();
    EXPECT_EQ(response.status, status) << bytes.substr(0, 100);
    EXPECT_TRUE(response.body.starts_with(R"({"error":{"message":")")) << response.body;
    EXPECT_TRUE(client.AtEnd());
  }
}

TEST_F(Http, SlowRequestsAreEnded) {
  Start({.idle_timeout = milliseconds(150), .read_timeout = milliseconds(150)});
  TestClient idle(port()), header(port()), body(port());
  header.Send("GET /hel");
  body.Send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nab");
  EXPECT_TRUE(idle.AtEnd());
  EXPECT_EQ(header.Receive().status, 408);
  EXPECT_EQ(body.Receive().status, 408);
  EXPECT_TRUE(Eventually([this] { return server_->connections() == 0; }));
}

TEST_F(Http, AWaitingRequestHasNoReadTimeout) {
  Start({.idle_timeout = milliseconds(100), .read_timeout = milliseconds(100)});
  TestClient client(port());
  client.Send("GET /later HTTP/1.1\r\nHost: t\r\n\r\n");
  ReplyPtr reply = TakeWaiting();
  SleepMs(400);
  reply->Send({.body = "x"});
  EXPECT_EQ(client.Receive().body, "x");
}

TEST_F(Http, AClientThatGoesEndsItsRequest) {
  Start();
  for (const char* path : {"/later", "/stream"}) {
    for (int how = 0; how < 3; ++how) {
      gone_ = 0;
      {
        TestClient client(port());
        client.Send("GET " + std::string(path) + " HTTP/1.1\r\nHost: t\r\n\r\n");
        ReplyPtr reply = TakeWaiting();
        ASSERT_NE(reply, nullptr);
        EXPECT_EQ(gone_, 0);
        if (how == 0) client.HalfClose();
        if (how == 1) client.Reset();
        if (how == 2) {  // a pipelined request waits behind it
          client.Send("GET /hello HTTP/1.1\r\nHost: t\r\n\r\n");
          SleepMs(20);
          client.HalfClose();
        }
        EXPECT_TRUE(Eventually([this] { return gone_ == 1; })) << path << how;
        EXPECT_FALSE(reply->Write("x"));
        reply->Send({.body = "nobody reads this"});
      }
      EXPECT_TRUE(Eventually([this] { return server_->active_requests() == 0; }));
      EXPECT_EQ(last_status_, 499);
    }
  }
}

TEST_F(Http, OnGoneAfterTheClientWentIsCalledAtOnce) {
  Start();
  ReplyPtr reply;
  {
    TestClient client(port());
    client.Send("GET /later HTTP/1.1\r\nHost: t\r\n\r\n");
    reply = TakeWaiting();
  }
  EXPECT_TRUE(Eventually([this] { return gone_ == 1; }));
  bool called = false;
  reply->OnGone([&] { called = true; });
  EXPECT_TRUE(called);
}

TEST_F(Http, AClientThatGoesEndsItsRequestEvenWhereThatCannotBeLogged) {
  Start();
  TestClient client(port());
  client.Send("GET /stream HTTP/1.1\r\nHost: t\r\nX-Unlogged: 1\r\n\r\n");
  ReplyPtr reply = TakeWaiting();
  client.Reset();
  EXPECT_TRUE(Eventually([this] { return gone_ == 1; }));
  EXPECT_EQ(server_->active_requests(), 0);
}

// Writes events until one is refused or `most` bytes have been taken; how many those are.
int64_t WriteUntilRefused(Reply& reply, std::size_t event_bytes, milliseconds pause, int64_t most) {
  const std::string event(event_bytes, 'x');
  int64_t sent = 0;
  while (sent < most && reply.Write(event)) {
    sent += static_cast<int64_t>(event_bytes);
    if (pause.count() > 0) std::this_thread::sleep_for(pause);
  }
  return sent;
}

TEST_F(Http, AClientThatDoesNotReadIsCutOff) {
  constexpr int64_t kMost = 1 << 30;  // more than sockets hold
  Start({.max_pending_bytes = 1 << 20,
         .max_backlog_bytes = 2 * kMost,
         .max_total_backlog_bytes = 2 * kMost,
         .stall_timeout = milliseconds(50)});
  TestClient client(port(), 4096);
  client.Send("GET /stream HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_LT(WriteUntilRefused(*TakeWaiting(), 1 << 20, milliseconds(5), kMost), kMost);
  EXPECT_TRUE(Eventually([this] { return gone_ == 1; }));
  EXPECT_EQ(last_status_, 499);
}

// Behind a request that is not answered yet: no socket takes any of it.
TEST_F(Http, WhatWaitsForAClientIsBounded) {
  constexpr auto kLong = std::chrono::minutes(10);
  const HttpConfig each{
      .max_pending_bytes = 1 << 20, .max_backlog_bytes = 4 << 20, .stall_timeout = kLong};
  const HttpConfig all{
      .max_pending_bytes = 1 << 20, .max_total_backlog_bytes = 4 << 20, .stall_timeout = kLong};
  const HttpConfig stalled{.max_pending_bytes = 1 << 20, .stall_timeout = milliseconds(50)};
  for (const HttpConfig* config : {&each, &all, &stalled}) {
    gone_ = 0;
    Start(*config);
    TestClient client(port());
    client.Send("GET /later HTTP/1.1\r\nHost: t\r\n\r\nGET /stream HTTP/1.1\r\nHost: t\r\n\r\n");
    ReplyPtr first = TakeWaiting(), stream = TakeWaiting();
    if (config == &stalled) {
      EXPECT_LT(WriteUntilRefused(*stream, 100'000, milliseconds(5), 128 << 20), 128 << 20);
    } else {
      const int64_t taken = WriteUntilRefused(*stream, 10'000, milliseconds(0), 128 << 20);
      EXPECT_GT(taken, 3 << 20);
      EXPECT_LE(taken, 4 << 20);
    }
    first->Send({.body = "first"});
    EXPECT_EQ(client.Receive().body, "first");
    EXPECT_TRUE(Eventually([this] { return gone_ == 1; }));
    server_.reset();
  }
}

TEST_F(Http, LargeEventsAndBurstsAreNoSlowClient) {
  Start({.max_pending_bytes = 1 << 16, .stall_timeout = std::chrono::minutes(10)});
  TestClient client(port(), 4096);
  client.Send("GET /stream HTTP/1.1\r\nHost: t\r\n\r\n");
  ReplyPtr reply = TakeWaiting();
  EXPECT_TRUE(reply->Write(std::string(10 << 20, 'x')));
  for (int i = 0; i < 64; ++i) EXPECT_TRUE(reply->Write(std::string(200'000, 'y'))) << i;
  reply->Finish();
  EXPECT_EQ(client.Receive().body.size(), 9u + (10 << 20) + 64 * 200'000);
  EXPECT_EQ(gone_, 0);
}

TEST_F(Http, AClientThatStopsReadingTimesOut) {
  Start({.write_timeout = milliseconds(200)});
  TestClient client(port(), 4096);
  client.Send("GET /later HTTP/1.1\r\nHost: t\r\n\r\n");
  TakeWaiting()->Send({.body = std::string(32 << 20, 'x')});
  EXPECT_TRUE(Eventually([this] { return server_->connections() == 0; }));
  EXPECT_EQ(last_status_, 499);
}

TEST_F(Http, AnUnansweredRequestGets500) {
  Start();
  TestClient client(port());
  EXPECT_EQ(client.Get("/drop").status, 500);
  EXPECT_EQ(client.Get("/throw").status, 500);
  EXPECT_EQ(client.Get("/no_memory").status, 503);
  EXPECT_EQ(client.Get("/throw_later").status, 503);
  EXPECT_EQ(client.Get("/throw_after").status, 500);
  EXPECT_EQ(client.Get("/hello").status, 200);
}

TEST_F(Http, AStreamThatBreaksOffDoesNotPassForWhole) {
  Start();
  TestClient thrown(port());
  thrown.Send("GET /stream HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_NE(thrown.ReceiveUntil("data: 1\n\n"), "");
  ReplyPtr kept = TakeWaiting();
  kept->Run([] { throw std::bad_alloc(); });
  EXPECT_EQ(thrown.ReceiveUntil("0\r\n\r\n"), "");
  TestClient dropped(port());
  // Behind another, which is answered first.
  dropped.Send("GET /later HTTP/1.1\r\nHost: t\r\n\r\nGET /stream HTTP/1.1\r\nHost: t\r\n\r\n");
  ReplyPtr first = TakeWaiting();
  TakeWaiting().reset();
  first->Send({.body = "first"});
  EXPECT_EQ(dropped.Receive().body, "first");
  EXPECT_EQ(dropped.ReceiveUntil("0\r\n\r\n"), "");
  EXPECT_TRUE(Eventually([this] { return server_->connections() == 0; }));
}

// Without chunks, the end of the connection is the end of the stream.
TEST_F(Http, AStreamOnHttp10ThatBreaksOffEndsInAReset) {
  Start();
  TestClient dropped(port()), stopped(port());
  for (TestClient* client : {&dropped, &stopped}) {
    client->Send("GET /stream HTTP/1.0\r\n\r\n");
    EXPECT_NE(client->ReceiveUntil("data: 1\n\n"), "");
    ReplyPtr reply = TakeWaiting();
    if (client == &stopped) server_.reset();
    reply.reset();
    EXPECT_TRUE(client->WasReset());
  }
}

TEST_F(Http, ConnectionsAreLimited) {
  Start({.max_connections = 2});
  TestClient a(port()), b(port());
  EXPECT_EQ(a.Get("/hello").status, 200);
  EXPECT_EQ(b.Get("/hello").status, 200);
  TestClient c(port());
  EXPECT_EQ(c.Receive().status, 503);
  a.Reset();
  EXPECT_TRUE(Eventually([this] { return server_->connections() == 1; }));
  TestClient d(port());
  EXPECT_EQ(d.Get("/hello").status, 200);
}

TEST_F(Http, ShutdownLetsRepliesEnd) {
  Start();
  TestClient idle(port()), busy(port());
  EXPECT_EQ(idle.Get("/hello").status, 200);
  busy.Send("GET /later HTTP/1.1\r\nHost: t\r\n\r\n");
  ReplyPtr reply = TakeWaiting();
  std::thread stopper([this] { server_->Shutdown(milliseconds(5000)); });
  EXPECT_TRUE(idle.AtEnd());
  reply->Send({.body = "last"});
  const TestResponse response = busy.Receive();
  EXPECT_EQ(response.body, "last");
  EXPECT_EQ(response.Header("Connection"), "close");
  stopper.join();
  EXPECT_EQ(ended_, 2);
}

TEST_F(Http, StoppingEndsWhatRuns) {
  Start();
  TestClient client(port());
  client.Send("GET /later HTTP/1.1\r\nHost: t\r\n\r\n");
  ReplyPtr reply = TakeWaiting();
  server_.reset();
  EXPECT_EQ(gone_, 1);
  EXPECT_FALSE(reply->Write("x"));
}

TEST_F(Http, ManyClientsAtOnce) {
  Start({.io_threads = 2});
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      TestClient client(port());
      for (int i = 0; i < 200; ++i)
        good += client.Post("/echo", std::string(i, 'y')).body.size() == std::size_t(i);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 1600);
  EXPECT_TRUE(Eventually([this] { return ended_ == 1600; }));
}

TEST_F(Http, PortInUseIsAnError) {
  Start();
  HttpConfig config;
  config.port = port();
  auto second = HttpServer::Start(config, std::make_shared<Router>(), {});
  ASSERT_FALSE(second.ok());
  EXPECT_NE(Message(second.status()).find("cannot listen"), std::string::npos);
}

}  // namespace
}  // namespace banyan::serve
