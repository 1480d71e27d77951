// SPDX-License-Identifier: Apache-2.0
// What SGLang's routers and clients ask for that OpenAI's do not.
#include <thread>

#include "serve/server_fixture.h"

namespace banyan::serve {
namespace {

class SglangTest : public ServerTest {};

TEST_F(SglangTest, RoutersNameTheRankInAHeader) {
  Start();
  for (const auto& [path, body] :
       {std::pair("/generate", R"({"text":"a","routed_dp_rank":1})"),
        {"/v1/completions", R"({"prompt":"a","routed_dp_rank":1})"},
        {"/v1/chat/completions", R"({"messages":[{"role":"user","content":"a"}]})"}}) {
    EXPECT_EQ(Post(path, body, "X-Data-Parallel-Rank: 3\r\n").status, 200);
    EXPECT_EQ(engine_->submitted().back().dp_rank, 3) << path;
    for (const char* wrong : {"x", "1x", "99999999999"}) {
      const TestResponse refused =
          Post(path, body, std::string("X-Data-Parallel-Rank: ") + wrong + "\r\n");
      EXPECT_EQ(refused.status, 400) << path << wrong;
      EXPECT_NE(refused.body.find(R"("param":"x-data-parallel-rank")"), std::string::npos)
          << refused.body;
    }
  }
  Post("/generate", R"({"text":"a","routed_dp_rank":1})");
  EXPECT_EQ(engine_->submitted().back().dp_rank, 1);
}

TEST_F(SglangTest, WhereASessionIsNoRouterKnows) {
  Start();
  const std::string session = R"("session_params":{"id":"s"})";
  const auto rank = [&](const char* path, const std::string& body) {
    EXPECT_EQ(Post(path, body, "X-Data-Parallel-Rank: 3\r\n").status, 200);
    return engine_->submitted().back().dp_rank;
  };
  for (const auto& [path, prompt] :
       {std::pair("/generate", R"({"text":"a",)"),
        {"/v1/completions", R"({"prompt":"a",)"},
        {"/v1/chat/completions", R"({"messages":[{"role":"user","content":"a"}],)"}}) {
    EXPECT_EQ(rank(path, prompt + session + "}"), std::nullopt) << path;
    EXPECT_EQ(rank(path, prompt + session + R"(,"routed_dp_rank":1})"), 1) << path;
  }
}

// Whether it fits, the engine knows: the past of a session is in it.
TEST_F(SglangTest, TheEngineIsToldOfALengthThatNobodyAskedFor) {
  Start();
  using Length = std::pair<std::optional<int>, bool>;  // of the output, and whether it was given
  const auto length = [&](std::string_view sampling) -> Length {
    const std::string body = fmt::format(R"({{"text":"a","sampling_params":{}}})", sampling);
    EXPECT_EQ(Post("/generate", body).status, 200);
    const GenerateRequest request = engine_->submitted().back();
    return {request.sampling.max_new_tokens, request.length_given};
  };
  EXPECT_EQ(length("{}"), Length(128, false));
  EXPECT_EQ(length("null"), Length(128, false));
  EXPECT_EQ(length(R"({"max_new_tokens":128})"), Length(128, true));
  EXPECT_EQ(length(R"({"max_new_tokens":null})"), Length(std::nullopt, true));
}

TEST_F(SglangTest, AFlushMayWaitForRequestsToEnd) {
  Start();
  engine_->ranks_ = 2;
  engine_->SetScript({.hold = true});
  std::thread request([&] { Post("/generate", R"({"text":"a"})"); });
  EXPECT_TRUE(Eventually([&] { return engine_->submitted().size() == 1; }));
  EXPECT_EQ(Post("/flush_cache", "").status, 400);
  EXPECT_EQ(Get("/flush_cache?timeout=0.2").status, 400);
  for (const char* wrong : {"-1", "abc", "nan", "inf", ""})
    EXPECT_EQ(Get(std::string("/flush_cache?timeout=") + wrong).status, 400) << wrong;
  const int before[] = {engine_->flushes(0), engine_->flushes(1)};
  std::thread flush([&] { EXPECT_EQ(Get("/flush_cache?timeout=60").status, 200); });
  EXPECT_TRUE(Eventually([&] { return engine_->flushes(0) >= before[0] + 2; }));
  engine_->Release();
  flush.join();
  request.join();
  EXPECT_EQ(engine_->flushes(1), before[1] + 1) << "an idle rank is flushed once";
}

TEST_F(SglangTest, AFlushThatWaitsEndsWithItsClient) {
  Start();
  engine_->SetScript({.hold = true});
  std::thread request([&] { Post("/generate", R"({"text":"a"})"); });
  EXPECT_TRUE(Eventually([&] { return engine_->submitted().size() == 1; }));
  {
    TestClient client(server_->port());
    client.Send("GET /flush_cache?timeout=60 HTTP/1.1\r\nHost: t\r\n\r\n");
    EXPECT_TRUE(Eventually([&] { return engine_->flushes(0) > 0; }));
  }
  const std::string gone =
      R"(sglang:http_responses_total{endpoint="/flush_cache",method="GET",status_code="499"} 1)";
  EXPECT_TRUE(Eventually([&] { return Get("/metrics").body.find(gone) != std::string::npos; }));
  const int asked = engine_->flushes(0);
  SleepMs(300);
  EXPECT_EQ(engine_->flushes(0), asked);
  engine_->Release();
  request.join();
}

TEST_F(SglangTest, ServerInfoDescribesThePublisherOfCacheEvents) {
  Start();
  const auto described = [&](const char* config) {
    engine_->config_.kv_events_config = config;
    return json::serialize(ParseJson(Get("/server_info").body)->at("kv_events"));
  };
  EXPECT_EQ(described(""), "null");
  EXPECT_EQ(described(R"({"publisher":"null"})"), "null");
  EXPECT_EQ(described(R"({"publisher":"zmq","endpoint":"inproc://a"})"), "null");
  EXPECT_EQ(described(R"({"publisher":"zmq","endpoint":"tcp://*"})"), "null");
  EXPECT_EQ(described(R"({"publisher":"zmq","endpoint":"tcp://*:70000"})"), "null");
  EXPECT_EQ(described(R"({"publisher":"zmq","endpoint":"tcp://[::1]:5557","topic":"t"})"),
            R"({"publisher":"zmq","endpoint_host":"[::1]","endpoint_port_base":5557,"topic":"t",)"
            R"("block_size":16,"dp_size":1})");
}

// What a client that sends every field says of those that it does not use.
TEST_F(SglangTest, TokenizeTakesFieldsOfMessagesWhereTheySayNothing) {
  Start();
  const std::string text = R"({"prompt":"hi","tools":[],"tool_choice":"none",)"
                           R"("continue_final_message":false,"chat_template_kwargs":{})";
  EXPECT_EQ(Post("/tokenize", text + "}").status, 200);
  const TestResponse refused = Post("/tokenize", text + R"(,"reasoning_effort":"low"})");
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find(R"("param":"reasoning_effort")"), std::string::npos) << refused.body;
}

// Whatever is said: they are the template's to write.
TEST_F(SglangTest, TokenizeAddsNoSpecialTokensToMessages) {
  Start();
  const std::string chat = R"({"messages":[{"role":"user","content":"hi"}])";
  const std::string body = Post("/tokenize", chat + "}").body;
  EXPECT_TRUE(body.starts_with(R"({"tokens":[117,)")) << body;
  for (const char* add : {"true", "false"}) {
    EXPECT_EQ(Post("/tokenize", fmt::format(R"({},"add_special_tokens":{}}})", chat, add)).body,
              body);
  }
}

TEST_F(SglangTest, LoadsAreAskedForByQuery) {
  Start();
  for (const char* query : {"", "?include=", "?include=core,%20memory", "?format=json&dp_rank=0"})
    EXPECT_EQ(Get(std::string("/v1/loads") + query).status, 200) << query;
  for (const char* name : {"dp_rank", "include", "format"}) {
    const TestResponse refused = Get(fmt::format("/v1/loads?{}=x", name));
    EXPECT_EQ(refused.status, 400);
    EXPECT_NE(refused.body.find(fmt::format(R"("param":"{}")", name)), std::string::npos)
        << refused.body;
  }
}

}  // namespace
}  // namespace banyan::serve
