// SPDX-License-Identifier: Apache-2.0
// The whole server over loopback, with a scripted engine behind it.
#include "serve/server.h"

#include <gtest/gtest.h>

#include "base/retry_after.h"
#include "serve/admin/handlers.h"
#include "serve/auth.h"
#include "serve/server_fixture.h"

namespace banyan::serve {
namespace {

using Script = FakeEngine::Script;

const char kChat[] = R"({"model":"fake","messages":[{"role":"user","content":"hi"}])";

FinishReason Stopped(std::string text) {
  return {.kind = FinishReason::Kind::kStop, .stop_string = std::move(text)};
}

TEST_F(ServerTest, ChatWhole) {
  Start();
  engine_->SetScript({.pieces = {"Hel", "lo \"\n"}, .finish = Stopped("END")});
  const TestResponse response = Post("/v1/chat/completions", std::string(kChat) + "}");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(
      Stable(response.body),
      R"({"id":"ID","object":"chat.completion","created":0,"model":"fake","choices":[{"index":0,)"
      R"("message":{"role":"assistant","content":"Hello \"\n","refusal":null,)"
      R"("reasoning_content":null,"tool_calls":null},"logprobs":null,"finish_reason":"stop",)"
      R"("matched_stop":"END"}],"usage":{"prompt_tokens":20,"total_tokens":22,)"
      R"("completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1},"reasoning_tokens":0},)"
      R"("metadata":{"weight_version":"default"}})");
  const GenerateRequest request = engine_->submitted().at(0);
  EXPECT_EQ(std::string(request.input_ids.begin(), request.input_ids.end()),
            "user: hi\nassistant: ");
  EXPECT_EQ(request.sampling.max_new_tokens, std::nullopt);
  EXPECT_FALSE(request.stream);
}

TEST_F(ServerTest, ChatStream) {
  Start();
  const TestResponse response =
      Post("/v1/chat/completions",
           std::string(kChat) + R"(,"stream":true,"stream_options":{"include_usage":true}})");
  EXPECT_EQ(response.Header("Content-Type"), "text/event-stream");
  const std::vector<std::string> events = Events(response.body);
  ASSERT_EQ(events.size(), 6u);
  const std::string head =
      R"({"id":"ID","object":"chat.completion.chunk","created":0,"model":"fake","choices":[)";
  EXPECT_EQ(Stable(events[0]), head +
                                   R"({"index":0,"delta":{"role":"assistant","content":"",)"
                                   R"("reasoning_content":null},"logprobs":null,)"
                                   R"("finish_reason":null,"matched_stop":null}],"usage":null})");
  EXPECT_EQ(Stable(events[1]),
            head + R"({"index":0,"delta":{"content":"Hel","reasoning_content":null},)"
                   R"("logprobs":null,"finish_reason":null,)"
                   R"("matched_stop":null}],"usage":null})");
  EXPECT_EQ(Stable(events[3]),
            head + R"({"index":0,"delta":{"reasoning_content":null},"logprobs":null,)"
                   R"("finish_reason":"length",)"
                   R"("matched_stop":null}],"usage":null})");
  EXPECT_EQ(Stable(events[4]),
            head + R"(],"usage":{"prompt_tokens":20,"total_tokens":22,"completion_tokens":2,)"
                   R"("prompt_tokens_details":{"cached_tokens":1},"reasoning_tokens":0}})");
  EXPECT_EQ(events[5], "[DONE]");
}

TEST_F(ServerTest, ChatLogprobs) {
  Start();
  engine_->SetScript({.pieces = {"x"}});
  const std::string more = R"(,"logprobs":true,"top_logprobs":1)";
  const std::string wanted =
      R"("logprobs":{"content":[{"token":"a","logprob":-0.0,"bytes":[97],"top_logprobs":[{)"
      R"("token":"�","logprob":-1.0,"bytes":[226]}]}],"refusal":null})";
  EXPECT_NE(Post("/v1/chat/completions", kChat + more + "}").body.find(wanted), std::string::npos);
  const std::string stream = Post("/v1/chat/completions", kChat + more + R"(,"stream":true})").body;
  EXPECT_NE(stream.find(R"("delta":{"content":"x","reasoning_content":null},)" + wanted),
            std::string::npos)
      << stream;
}

TEST_F(ServerTest, ContinueFinalMessage) {
  Start();
  Post("/v1/chat/completions",
       R"({"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"It is"}],
           "continue_final_message":true})");
  const GenerateRequest request = engine_->submitted().at(0);
  EXPECT_EQ(std::string(request.input_ids.begin(), request.input_ids.end()),
            "user: hi\nassistant: It is");
}

TEST_F(ServerTest, ManySamplesAndPrompts) {
  Start();
  const TestResponse response =
      Post("/v1/completions", R"({"prompt":["ab","c"],"n":2,"echo":true,"rid":"r"})");
  EXPECT_EQ(
      Stable(response.body),
      R"({"id":"ID","object":"text_completion","created":0,"model":"fake","choices":[)"
      R"({"index":0,"text":"abHello","logprobs":null,"finish_reason":"length","matched_stop":null},)"
      R"({"index":1,"text":"abHello","logprobs":null,"finish_reason":"length","matched_stop":null},)"
      R"({"index":2,"text":"cHello","logprobs":null,"finish_reason":"length","matched_stop":null},)"
      R"({"index":3,"text":"cHello","logprobs":null,"finish_reason":"length","matched_stop":null}],)"
      R"("usage":{"prompt_tokens":3,"total_tokens":11,"completion_tokens":8,)"
      R"("prompt_tokens_details":{"cached_tokens":2},"reasoning_tokens":0},)"
      R"("metadata":{"weight_version":"default"}})");
  EXPECT_EQ(engine_->submitted().at(1).rid, "r_1");
}

TEST_F(ServerTest, CompletionLogprobsWithEcho) {
  Start();
  engine_->SetScript({.pieces = {"a", "b"}});
  const std::string body = R"({"prompt":[104,105],"echo":true,"logprobs":2)";
  const std::string wanted =
      R"("logprobs":{"tokens":["h","i","a","b"],"token_logprobs":[null,-2.25,-0.0,-0.5],)"
      R"("top_logprobs":[null,{},{"bytes:\\xe2":-1.0,"bytes:\\xe3":-2.0},)"
      R"({"bytes:\\xe2":-1.0,"bytes:\\xe3":-2.0}],"text_offset":[0,1,2,3]})";
  const std::string whole = Post("/v1/completions", body + "}").body;
  EXPECT_NE(whole.find(wanted), std::string::npos) << whole;
  const std::vector<std::string> events =
      Events(Post("/v1/completions", body + R"(,"stream":true})").body);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_NE(events[0].find(R"("text":"hia","logprobs":{"tokens":["h","i","a"])"), std::string::npos)
      << events[0];
  EXPECT_NE(events[1].find(R"("text_offset":[3]})"), std::string::npos) << events[1];
}

TEST_F(ServerTest, GenerateWholeAndBatch) {
  Start();
  engine_->SetScript(
      {.pieces = {"a", "b"}, .finish = {.kind = FinishReason::Kind::kStop, .stop_token = 256}});
  std::string body =
      Post("/generate", R"({"text":"hi","rid":"r","return_logprob":true,"logprob_start_len":0,
        "top_logprobs_num":1,"token_ids_logprob":[9],"return_text_in_logprobs":true})")
          .body;
  const std::size_t latency = body.find(",\"e2e_latency\":");
  ASSERT_NE(latency, std::string::npos);
  body.erase(latency, body.find('}', latency) - latency);
  EXPECT_EQ(
      body,
      R"({"text":"ab","output_ids":[97,98],"meta_info":{"id":"r","finish_reason":{"type":"stop",)"
      R"("matched":256},"prompt_tokens":2,"weight_version":"default","num_retractions":0,)"
      R"("total_retractions":0,)"
      R"("input_token_logprobs":[[null,104,"h"],[-2.25,105,"i"]],)"
      R"("output_token_logprobs":[[-0.0,97,"a"],[-0.5,98,"b"]],)"
      R"("input_top_logprobs":[null,[]],)"
      R"("output_top_logprobs":[[[-1.0,226,"�"]],[[-1.0,226,"�"]]],)"
      R"("input_token_ids_logprobs":[null,[]],)"
      R"("output_token_ids_logprobs":[[[-7.0,9,"\t"]],[[-7.0,9,"\t"]]],)"
      R"("reasoning_tokens":0,"completion_tokens":2,"cached_tokens":1,"dp_rank":0}})");
  const auto batch = ParseJson(Post("/generate", R"({"text":["a","b"]})").body);
  ASSERT_TRUE(batch.ok() && batch->is_array());
  EXPECT_EQ(batch->get_array().size(), 2u);
}

TEST_F(ServerTest, GenerateStreamsAreCumulative) {
  Start();
  const std::vector<std::string> events =
      Events(Post("/generate", R"({"input_ids":[1],"stream":true})").body);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_TRUE(events[0].starts_with(R"({"text":"Hel","output_ids":[97],"meta_info":{)"));
  EXPECT_NE(events[0].find(R"("finish_reason":null)"), std::string::npos);
  EXPECT_TRUE(events[1].starts_with(R"({"text":"Hello","output_ids":[97,98],"meta_info":{)"));
  EXPECT_NE(events[1].find(R"("finish_reason":{"type":"length","length":2})"), std::string::npos);
  EXPECT_EQ(events[2], "[DONE]");
}

TEST_F(ServerTest, GenerateStreamsMayBeIncremental) {
  Start({.incremental_streaming = true});
  const std::vector<std::string> events =
      Events(Post("/generate", R"({"text":["a","b"],"stream":true})").body);
  ASSERT_EQ(events.size(), 5u);
  EXPECT_TRUE(events[1].starts_with(R"({"text":"lo","output_ids":[98],"meta_info":{)"));
  EXPECT_TRUE(events[3].ends_with(R"("index":1})"));
}

TEST_F(ServerTest, FailuresHaveTheirStatus) {
  Start();
  for (const auto& [status, code] : {std::pair{ResourceExhausted("full"), 429},
                                     {Unavailable("draining"), 503},
                                     {InvalidArgument("too long"), 400}}) {
    engine_->SetScript({.refuse = status});
    for (const char* path : {"/v1/chat/completions", "/generate"}) {
      const TestResponse response = Post(
          path, path[1] == 'v' ? std::string(kChat) + R"(,"stream":true})" : R"({"text":"a"})");
      EXPECT_EQ(response.status, code);
      EXPECT_EQ(response.Header("Retry-After") != "", code == 429 || code == 503);
    }
  }
  // Ended by the engine before a token: still a status of its own.
  engine_->SetScript({.pieces = {""},
                      .finish = {.kind = FinishReason::Kind::kAbort,
                                 .status = DeadlineExceeded("waited too long")}});
  EXPECT_EQ(Post("/v1/chat/completions", std::string(kChat) + R"(,"stream":true})").status, 504);
  EXPECT_EQ(Post("/v1/chat/completions", std::string(kChat) + "}").status, 504);
  // Within a stream: an event, then the end.
  engine_->SetScript({.pieces = {"a", ""},
                      .finish = {.kind = FinishReason::Kind::kAbort, .status = Internal("broke")}});
  const std::vector<std::string> events =
      Events(Post("/v1/chat/completions", std::string(kChat) + R"(,"stream":true})").body);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[2],
            R"({"error":{"message":"broke","type":"server_error","param":null,"code":null}})");
  EXPECT_EQ(events[3], "[DONE]");
}

TEST_F(ServerTest, BodiesMayBeginWithAByteOrderMarkAndSayThatTheyAreNotEncoded) {
  Start();
  EXPECT_EQ(Post("/generate", "\xEF\xBB\xBF{\"text\":\"a\"}").status, 200);
  EXPECT_EQ(Post("/generate", R"({"text":"a"})", "Content-Encoding: Identity\r\n").status, 200);
}

TEST_F(ServerTest, BadBodies) {
  Start();
  for (const char* body : {"", "{", "[]", "null", "{} x", "{\"messages\":", "\xff\xfe"}) {
    const TestResponse response = Post("/v1/chat/completions", body);
    EXPECT_EQ(response.status, 400) << body;
    EXPECT_TRUE(response.body.starts_with(R"({"error":{"message":"request: )")) << response.body;
  }
  EXPECT_EQ(Post("/generate", "{\"text\":" + std::string(100000, '[')).status, 400);
  const TestResponse many = Post("/generate", R"({"text":"a","return_logprob":true,
      "top_logprobs_num":256,"sampling_params":{"n":128,"max_new_tokens":1000000}})");
  EXPECT_EQ(many.status, 400);
  EXPECT_NE(many.body.find("134709120 log-prob"), std::string::npos) << many.body.substr(0, 300);
  EXPECT_EQ(Post("/generate", "\x1f\x8b", "Content-Encoding: gzip\r\n").status, 415);
  EXPECT_TRUE(ParseJson(Get("/%ff%fe%22").body).ok());  // quoted, but still JSON
  EXPECT_EQ(Post("/v1/chat/completions", R"({"model":"fake:lora","messages":[{"role":"user",
      "content":"a"}]})")
                .status,
            400);
  // The prompt can be shown, but calls in the answer could not be returned as such.
  const std::string tools =
      std::string(kChat) + R"(,"tools":[{"type":"function","function":{"name":"f"}}])";
  const TestResponse refused = Post("/v1/chat/completions", tools + "}");
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find(R"("param":"tools")"), std::string::npos) << refused.body;
  EXPECT_EQ(engine_->submitted().size(), 0u);
  EXPECT_EQ(Post("/v1/chat/completions", tools + R"(,"tool_choice":"none"})").status, 200);
  EXPECT_NE(Post("/render", tools + "}").body.find(R"("function\":{\"name\":\"f\"}}])"),
            std::string::npos);
}

TEST_F(ServerTest, AClientThatGoesAbortsItsRequests) {
  Start();
  for (const char* more : {"}", R"(,"stream":true})", R"(,"n":3,"stream":true})"}) {
    engine_->SetScript({.hold = true});
    const int before = engine_->aborted();
    const std::size_t submitted = engine_->submitted().size();
    {
      TestClient client(server_->port());
      const std::string body = std::string(kChat) + more;
      client.Send("POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: " +
                  std::to_string(body.size()) + "\r\n\r\n" + body);
      EXPECT_TRUE(Eventually([&] { return engine_->submitted().size() > submitted; }));
      if (more[0] == ',') {
        EXPECT_NE(client.ReceiveUntil("Hel"), "");
      }
    }
    EXPECT_TRUE(Eventually([&] { return engine_->aborted() == before + 1; })) << more;
  }
}

TEST_F(ServerTest, AnEmptyNameIsNone) {
  Start();
  const TestResponse response = Post("/v1/chat/completions", std::string(kChat) + R"(,"rid":""})");
  EXPECT_NE(response.body.find(R"("id":"chatcmpl-)"), std::string::npos) << response.body;
  EXPECT_TRUE(engine_->submitted().at(0).rid.starts_with("chatcmpl-"));
}

TEST_F(ServerTest, AbortByName) {
  Start();
  engine_->SetScript({.hold = true});
  TestClient client(server_->port());
  const std::string body = std::string(kChat) + R"(,"rid":"my-request"})";
  client.Send("POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
  EXPECT_TRUE(Eventually([&] { return engine_->submitted().size() == 1; }));
  EXPECT_EQ(Post("/abort_request", R"({})").status, 400);
  EXPECT_EQ(Post("/abort_request", R"({"rid":""})").status, 400);
  EXPECT_EQ(Post("/abort_request", R"({"rid":"my-"})").status, 200);
  const TestResponse response = client.Receive();
  EXPECT_EQ(response.status, 200);
  EXPECT_NE(response.body.find(R"("finish_reason":"abort")"), std::string::npos) << response.body;
}

TEST_F(ServerTest, AStopEndsEveryReplyWithItsOwnEvent) {
  Start();
  engine_->SetScript({.hold = true});
  const auto send = [&](TestClient& client, std::string_view path, const std::string& body) {
    client.Send(fmt::format("POST {} HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{}", path,
                            body.size(), body));
  };
  TestClient chat(server_->port()), batch(server_->port()), whole(server_->port());
  send(chat, "/v1/chat/completions", std::string(kChat) + R"(,"stream":true})");
  send(batch, "/generate", R"({"text":["a","b"],"rid":["x","y"],"stream":true})");
  send(whole, "/generate", R"({"text":"a"})");
  EXPECT_TRUE(Eventually([&] { return engine_->submitted().size() == 4; }));
  std::string begun = batch.ReceiveUntil(R"("index":1})");
  engine_->Stop();
  server_->Shutdown(std::chrono::seconds(10));

  std::vector<std::string> events = Events(chat.Receive().body);
  ASSERT_GE(events.size(), 2u);
  EXPECT_EQ(events.back(), "[DONE]");
  EXPECT_NE(events[events.size() - 2].find(R"({"error":{"message":"stopped")"), std::string::npos);

  begun += batch.ReceiveUntil("[DONE]");
  for (const char* rid : {"x", "y"}) {
    const std::string end = fmt::format(
        R"("meta_info":{{"id":"{}","finish_reason":{{"type":"abort","message":"stopped",)"
        R"("status_code":503,"err_type":null}})",
        rid);
    const std::size_t found = begun.find(end);
    EXPECT_NE(found, std::string::npos) << begun;
    EXPECT_EQ(begun.find(end, found + 1), std::string::npos);
  }
  EXPECT_EQ(begun.find("\"error\""), std::string::npos) << begun;
  EXPECT_EQ(whole.Receive().status, 503);
}

TEST_F(ServerTest, ThePromptsOfABatchHaveNamesOfTheirOwn) {
  Start();
  const TestResponse native = Post("/generate", R"({"text":["a","b","c"],"rid":["x","y","x"]})");
  EXPECT_EQ(native.status, 400);
  EXPECT_NE(native.body.find("'rid' names two of the prompts 'x'"), std::string::npos)
      << native.body;
  EXPECT_NE(native.body.find(R"("param":"rid")"), std::string::npos) << native.body;
  EXPECT_EQ(Post("/v1/completions", R"({"prompt":["a","b"],"rid":["x","x"]})").status, 400);
  EXPECT_EQ(engine_->submitted().size(), 0u);
  EXPECT_EQ(Post("/generate", R"({"text":["a","b"],"rid":["",""]})").status, 200);
  EXPECT_EQ(Post("/generate", R"({"text":["a","b"],"rid":"x"})").status, 200);
}

TEST_F(ServerTest, KeysThatAreKeptAreShort) {
  Start();
  const std::string most(512, 'k');
  for (const char* path : {"/generate", "/v1/completions", "/v1/chat/completions"}) {
    const std::string body = path[1] == 'g'   ? R"({"text":"a"})"
                             : path[5] == 'o' ? R"({"prompt":"a"})"
                                              : std::string(kChat) + "}";
    EXPECT_EQ(Post(path, body, "X-SMG-Routing-Key: " + most + "\r\n").status, 200) << path;
    const TestResponse response = Post(path, body, "X-SMG-Routing-Key: " + most + "k\r\n");
    EXPECT_EQ(response.status, 400) << path;
    EXPECT_NE(response.body.find("'x-smg-routing-key' is longer than 512 bytes"), std::string::npos)
        << response.body;
  }
  EXPECT_EQ(engine_->submitted().back().routing_key, most);
  const auto open = [&](const std::string& id) {
    return Post("/open_session", R"({"capacity_of_str_len":9,"session_id":")" + id + R"("})");
  };
  EXPECT_EQ(open(most).status, 200);
  EXPECT_EQ(open(most + "k").status, 400);
  EXPECT_NE(open(most + "k").body.find("'session_id' is longer than 512 bytes"), std::string::npos);
}

TEST_F(ServerTest, KeysOfPrefixesAreBounded) {
  Start();
  const std::string most(4096, 'k');
  const auto post = [&](std::string_view path, std::string_view start, std::string_view field,
                        const std::string& key) {
    return Post(path, fmt::format(R"({},"{}":"{}"}})", start, field, key));
  };
  const std::string chat = kChat;
  const std::tuple<const char*, std::string, const char*> cases[] = {
      {"/generate", R"({"text":"a")", "extra_key"},
      {"/v1/completions", R"({"prompt":"a")", "extra_key"},
      {"/v1/completions", R"({"prompt":"a")", "cache_salt"},
      {"/v1/chat/completions", chat, "extra_key"},
      {"/v1/chat/completions", chat, "cache_salt"},
  };
  for (const auto& [path, start, field] : cases) {
    EXPECT_EQ(post(path, start, field, most).status, 200) << path << field;
    const TestResponse response = post(path, start, field, most + "k");
    EXPECT_EQ(response.status, 400) << path << field;
    EXPECT_NE(response.body.find(fmt::format("'{}' is longer than 4096 bytes", field)),
              std::string::npos)
        << response.body;
  }
}

// Every rank has a queue and rows of its own.
TEST_F(ServerTest, HowManySamplesThereMayBe) {
  Start();
  engine_->ranks_ = 2;
  engine_->config_.max_queued_requests = 1;
  engine_->config_.max_running_requests = 1;
  const auto status = [&](const char* text, const char* more) {
    return Post("/generate", fmt::format(R"({{"text":{}{}}})", text, more)).status;
  };
  EXPECT_EQ(status(R"(["a","b","c","d"])", ""), 200);
  EXPECT_EQ(status(R"(["a","b","c","d","e"])", ""), 400);
  EXPECT_EQ(status(R"(["a","b"])", R"(,"sampling_params":{"n":2})"), 200);
  EXPECT_EQ(status(R"(["a"])", R"(,"sampling_params":{"n":3})"), 400);
  EXPECT_EQ(status(R"(["a","b"])", R"(,"routed_dp_rank":1)"), 200);
  EXPECT_EQ(status(R"(["a","b","c"])", R"(,"routed_dp_rank":1)"), 400);
  EXPECT_EQ(status(R"(["a","b","c"])", R"(,"session_params":{"id":"s"})"), 400);
  EXPECT_EQ(status(R"(["a","b","c"])", R"(,"session_params":[{"id":"s"},{"id":"t"},{"id":"u"}])"),
            200);
}

// Why a prefix was not found tells what others have sent.
TEST_F(ServerTest, TheReasonOfAMissIsTheOperatorsToShow) {
  Start();
  const std::string chat = std::string(kChat) + R"(,"return_cached_tokens_details":true)";
  for (const char* stream : {"}", R"(,"stream":true})"}) {
    const std::string plain = Post("/v1/chat/completions", chat + stream).body;
    EXPECT_NE(plain.find(R"("sglext":{"cached_tokens_details":{"device":1,"host":0}})"),
              std::string::npos)
        << plain;
  }
  EXPECT_EQ(Post("/generate", R"({"text":"a"})").body.find("miss_reason"), std::string::npos);
  engine_->config_.enable_cache_report = true;
  EXPECT_NE(Post("/v1/chat/completions", chat + "}").body.find(R"("miss_reason":null)"),
            std::string::npos);
  EXPECT_NE(Post("/generate", R"({"text":"a"})").body.find("miss_reason"), std::string::npos);
}

TEST_F(ServerTest, RequestsMayStayOutOfTheMetrics) {
  Start();
  Post("/generate", R"({"text":"a"})");
  EXPECT_TRUE(engine_->submitted().back().log_metrics);
  Post("/generate", R"({"text":"a","log_metrics":false})");
  EXPECT_FALSE(engine_->submitted().back().log_metrics);
  EXPECT_EQ(Post("/generate", R"({"text":"a","log_metrics":1})").status, 400);
}

TEST_F(ServerTest, TokenizeDetokenizeRender) {
  Start();
  EXPECT_EQ(Post("/tokenize", R"({"prompt":"ab"})").body,
            R"({"tokens":[97,98],"count":2,"max_model_len":4096})");
  EXPECT_EQ(Post("/v1/tokenize", R"({"prompt":["a","bc"]})").body,
            R"({"tokens":[[97],[98,99]],"count":[1,2],"max_model_len":4096})");
  EXPECT_EQ(Post("/tokenize", R"({"messages":[{"role":"user","content":"x"}]})").status, 200);
  EXPECT_EQ(Post("/detokenize", R"({"tokens":[97,98]})").body, R"({"text":"ab"})");
  EXPECT_EQ(Post("/v1/detokenize", R"({"tokens":[[97],[98]]})").body, R"({"text":["a","b"]})");
  EXPECT_EQ(Post("/detokenize", R"({"tokens":[]})").body, R"({"text":""})");
  const TestResponse rendered = Post("/render", R"({"messages":[{"role":"user","content":"x"}],
      "chat_template_kwargs":{"enable_thinking":false}})");
  EXPECT_TRUE(
      rendered.body.starts_with(R"({"text":"user: x\n[no think]assistant: ","input_ids":[117,)"))
      << rendered.body;
  for (const char* bad :
       {R"({})", R"({"prompt":5})", R"({"prompt":"a","messages":[]})", R"({"prompt":"a","x":1})"})
    EXPECT_EQ(Post("/tokenize", bad).status, 400) << bad;
  for (const char* bad : {R"({})", R"({"tokens":"a"})", R"({"tokens":[1,"a"]})",
                          R"({"tokens":[[1],2]})", R"({"tokens":[99999]})"})
    EXPECT_EQ(Post("/detokenize", bad).status, 400) << bad;
}

TEST_F(ServerTest, WithoutAChatTemplate) {
  Start({}, false);
  const TestResponse response = Post("/v1/chat/completions", std::string(kChat) + "}");
  EXPECT_EQ(response.status, 400);
  EXPECT_NE(response.body.find("has no chat template"), std::string::npos);
  EXPECT_EQ(Post("/v1/completions", R"({"prompt":"a"})").status, 200);
}

TEST_F(ServerTest, Models) {
  Start();
  EXPECT_EQ(Stable(Get("/v1/models/fake").body),
            R"({"id":"ID","object":"model","created":0,"owned_by":"banyan","root":"fake",)"
            R"("parent":null,"max_model_len":4096})");
  EXPECT_NE(Get("/v1/models").body.find(R"({"object":"list","data":[{"id":"fake")"),
            std::string::npos);
  EXPECT_EQ(Get("/v1/models/fake/").status, 200);
  EXPECT_EQ(Get("/v1/models/").status, 200);
}

TEST_F(ServerTest, AModelsNameMayBeAPath) {
  Start({}, true, "/models/fake/");
  EXPECT_NE(Get("/v1/models").body.find(R"("id":"/models/fake/")"), std::string::npos);
  for (const char* path :
       {"/v1/models//models/fake/", "/v1/models//models/fake", "/v1/models/%2Fmodels%2Ffake%2F"})
    EXPECT_EQ(Get(path).status, 200) << path;
  const TestResponse missing = Get("/v1/models/other%2Fname");
  EXPECT_EQ(missing.status, 404);
  EXPECT_NE(missing.body.find(R"("param":"model","code":"model_not_found")"), std::string::npos);
}

// A whole cache is not written on the engine's thread.
TEST(CacheBlocks, AreWrittenOnTheRepliesThread) {
  class HeldReply final : public Reply {
   public:
    void Send(HttpResponse response) override { sent = std::move(response.body); }
    void StartStream(std::string_view) override {}
    bool Write(std::string_view) override { return true; }
    void Finish() override {}
    void OnGone(std::function<void()>) override {}
    void Run(std::function<void()> task) override { tasks.push_back(std::move(task)); }
    void RunAfter(std::chrono::milliseconds, std::function<void()> task) override { Run(task); }
    std::string sent;
    std::vector<std::function<void()>> tasks;
  };
  FakeEngine engine(MakeFakeTemplate());
  const ServeConfig config = {};
  const ServeContext context(engine, config, nullptr);
  const auto reply = std::make_shared<HeldReply>();
  HandleCacheBlocks(context, HttpRequest(), reply);
  EXPECT_EQ(reply->sent, "");
  ASSERT_EQ(reply->tasks.size(), 1u);
  reply->tasks[0]();
  EXPECT_EQ(reply->sent.find(R"({"dp_rank":0)"), 0u) << reply->sent;
  reply->tasks.clear();
}

TEST_F(ServerTest, HealthReadyAndDrain) {
  Start();
  EXPECT_EQ(Get("/health").status, 200);
  EXPECT_EQ(Get("/health_generate").status, 200);
  EXPECT_EQ(Get("/ready").body, R"({"ready":true})");
  EXPECT_TRUE(engine_->submitted().at(0).rid.starts_with("HEALTH_CHECK_"));
  engine_->SetScript(
      {.pieces = {""}, .finish = {.kind = FinishReason::Kind::kAbort, .status = Internal("x")}});
  EXPECT_EQ(Get("/health_generate").status, 503);
  EXPECT_FALSE(engine_->submitted().at(0).log_metrics);
  engine_->SetScript({.refuse = ResourceExhausted("full")});
  EXPECT_EQ(Get("/health_generate").status, 200);
  // What an operator or a full cache ends is alive.
  engine_->SetScript(
      {.pieces = {""},
       .finish = {.kind = FinishReason::Kind::kAbort, .status = ResourceExhausted("x")}});
  EXPECT_EQ(Get("/health_generate").status, 200);
  engine_->SetScript({.hold = true});
  const std::size_t before = engine_->submitted().size();
  TestClient probe(server_->port());
  probe.Send("GET /health_generate HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_TRUE(Eventually([&] { return engine_->submitted().size() > before; }));
  EXPECT_EQ(Post("/abort_request", R"({"abort_all":true})").status, 200);
  EXPECT_EQ(probe.Receive().status, 200);
  engine_->healthy = false;
  for (const char* path : {"/health", "/ready", "/health_generate"})
    EXPECT_EQ(Get(path).status, 503);
  engine_->healthy = true;
  server_->BeginDrain();
  for (const char* path : {"/health", "/ready"}) EXPECT_EQ(Get(path).status, 503);
}

TEST(ServerStart, BeforeTheEngineIsThere) {
  ServeConfig config;
  config.http.port = 0;
  config.log_access = false;
  auto server = Server::Start(config);
  ASSERT_TRUE(server.ok());
  TestClient client((*server)->port());
  for (const char* path : {"/health", "/ready", "/v1/models", "/metrics"})
    EXPECT_EQ(client.Get(path).status, 503) << path;
  EXPECT_EQ(client.Post("/v1/completions", "{}").status, 503);
}

TEST(ServerStart, RefusesWhatCannotBe) {
  ServeConfig config;
  config.http.port = 0;
  config.open_paths = {"/metrcs"};
  EXPECT_FALSE(Server::Start(config).ok());
  config.open_paths.clear();
  config.preferred_sampling_params = json::object{{"temperature", -1}};
  EXPECT_FALSE(Server::Start(config).ok());
  config.preferred_sampling_params.clear();
  config.http.host = "no.such.host.invalid";
  EXPECT_FALSE(Server::Start(config).ok());
}

TEST_F(ServerTest, InfoPages) {
  Start();
  for (const char* path :
       {"/model_info", "/get_model_info", "/server_info", "/get_server_info", "/weight_version",
        "/get_weight_version", "/memory", "/get_load", "/v1/loads"}) {
    const TestResponse response = Get(path);
    EXPECT_EQ(response.status, 200) << path;
    EXPECT_TRUE(ParseJson(response.body).ok()) << response.body;
  }
  EXPECT_NE(Get("/memory").body.find(R"({"name":"full","page_size":16,"size":1024,"used":16,)"
                                     R"("cached":48,"free":960,"fenced":0})"),
            std::string::npos)
      << Get("/memory").body;
  EXPECT_EQ(Post("/flush_cache", "").body, "Cache flushed.\n");
  EXPECT_EQ(Get("/v1/embeddings").status, 405);
  const TestResponse later = Post("/v1/embeddings", "{}");
  EXPECT_EQ(later.status, 501);
  EXPECT_NE(later.body.find("not built yet"), std::string::npos);
}

TEST_F(ServerTest, MetricsCountHttp) {
  Start();
  Post("/v1/completions", R"({"prompt":"a"})");
  Post("/v1/completions", R"({})");
  Get("/nothing");
  std::string page;
  EXPECT_TRUE(Eventually([&] {
    page = Get("/metrics").body;
    return page.find(R"(status_code="400"} 1)") != std::string::npos;
  }));
  EXPECT_NE(page.find("sglang:http_requests_total{endpoint=\"/v1/completions\",method=\"POST\"} 2"),
            std::string::npos)
      << page;
  EXPECT_NE(
      page.find("sglang:http_requests_active{endpoint=\"/v1/completions\",method=\"POST\"} 0"),
      std::string::npos);
  EXPECT_EQ(page.find("nothing"), std::string::npos);
}

TEST_F(ServerTest, MetricsCountRoutingKeysAtWork) {
  Start();
  TestClient client(server_->port());
  client.Send("GET /metrics HTTP/1.1\r\nHost: a\r\nX-SMG-Routing-Key: mine\r\n\r\n");
  // The request for the page is at work itself.
  EXPECT_NE(client.Receive().body.find("sglang:routing_keys_active 1"), std::string::npos);
  EXPECT_TRUE(Eventually([&] {
    return Get("/metrics").body.find("sglang:routing_keys_active 0") != std::string::npos;
  }));
}

TEST_F(ServerTest, Keys) {
  ServeConfig config;
  config.api_key = "secret";
  config.open_paths = {"/metrics"};
  Start(config);
  TestClient client(server_->port());
  EXPECT_EQ(client.Get("/health").status, 200);
  EXPECT_EQ(client.Get("/metrics").status, 200);
  for (const char* path :
       {"/ready", "/v1/models", "/health_generate", "/memory", "/server_info", "/nothing"}) {
    TestClient other(server_->port());
    const TestResponse response = other.Get(path);
    EXPECT_EQ(response.status, 401) << path;
    EXPECT_NE(response.body.find("authentication_error"), std::string::npos);
  }
  auto with = [&](std::string_view header) {
    return Post("/v1/completions", R"({"prompt":"a"})", header).status;
  };
  EXPECT_EQ(with(""), 401);
  EXPECT_EQ(with("Authorization: Bearer secret\r\n"), 200);
  EXPECT_EQ(with("authorization: bearer secret\r\n"), 200);
  EXPECT_EQ(with("X-API-Key: secret\r\n"), 200);
  for (const char* bad : {"Authorization: Bearer secre\r\n", "Authorization: Bearer secret2\r\n",
                          "Authorization: secret\r\n", "Authorization: Basic secret\r\n",
                          "Authorization: Bearer \r\n", "X-API-Key: no\r\n"})
    EXPECT_EQ(with(bad), 401) << bad;
}

TEST(Auth, AdminKeyAsInSglang) {
  const Route normal{.access = Access::kNormal}, admin{.access = Access::kAdmin};
  auto allowed = [](const Auth& auth, const Route& route, std::string key) {
    HttpRequest request;
    request.route = &route;
    if (!key.empty()) request.headers.emplace_back("Authorization", "Bearer " + key);
    return !auth.Check(request).has_value();
  };
  const Auth none("", "", {}), both("a", "b", {}), only_admin("", "b", {}), only_api("a", "", {});
  EXPECT_TRUE(allowed(none, admin, ""));
  EXPECT_TRUE(allowed(both, normal, "a"));
  EXPECT_FALSE(allowed(both, normal, "b"));
  EXPECT_FALSE(allowed(both, admin, "a"));
  EXPECT_TRUE(allowed(both, admin, "b"));
  EXPECT_TRUE(allowed(only_admin, normal, ""));
  EXPECT_FALSE(allowed(only_admin, admin, ""));
  EXPECT_TRUE(allowed(only_api, admin, "a"));
  EXPECT_FALSE(allowed(only_api, admin, ""));
  EXPECT_TRUE(EqualInConstantTime("", ""));
  EXPECT_FALSE(EqualInConstantTime("a", "ab"));
}

TEST_F(ServerTest, PreferredSamplingParams) {
  ServeConfig config;
  config.preferred_sampling_params = json::object{{"temperature", 0.25}, {"max_new_tokens", 9}};
  Start(config);
  engine_->default_sampling_.temperature = 0.5f;
  Post("/generate", R"({"text":"a","sampling_params":{"max_new_tokens":3}})");
  EXPECT_FLOAT_EQ(engine_->submitted().at(0).sampling.temperature, 0.25f);
  EXPECT_EQ(engine_->submitted().at(0).sampling.max_new_tokens, 3);
}

TEST_F(ServerTest, ManyStreamsAtOnce) {
  Start({.http = {.io_threads = 2}});
  std::vector<std::string> pieces(100, "word ");
  engine_->SetScript({.pieces = pieces});
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&] {
      TestClient client(server_->port());
      for (int i = 0; i < 5; ++i) {
        const auto events = Events(
            client.Post("/v1/chat/completions", std::string(kChat) + R"(,"stream":true})").body);
        good += events.size() == 103 && events.back() == "[DONE]";
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 80);
}

TEST_F(ServerTest, TheTerminalsClientReadsStreams) {
  Start();
  std::string text;
  EventParser parser([&](std::string_view data) { text += std::string(data) + "\n"; });
  const ClientRequest request{fmt::format("http://127.0.0.1:{}/generate", server_->port()),
                              R"({"text":"a","stream":true})", ""};
  ASSERT_TRUE(Fetch(request, [&](std::string_view bytes) {
                parser.Push(bytes);
                return true;
              }).ok());
  EXPECT_TRUE(text.ends_with("[DONE]\n")) << text;
  const Status bad = Fetch({request.url, "{}", ""}, [](std::string_view) { return true; });
  EXPECT_NE(Message(bad).find("'text' or 'input_ids' must be given"), std::string::npos) << bad;
  engine_->SetScript({.refuse = WithRetryAfter(ResourceExhausted("full"), 6.5)});
  const Status full = Fetch(request, [](std::string_view) { return true; });
  EXPECT_EQ(full.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(RetryAfter(full), 7);
}

TEST(JsonWriter, WritesWhatPythonReads) {
  std::string out;
  JsonWriter json(out);
  json.Begin('{').Field("s", "a\"\\\n\x01é").Field("i", -3).Field("u", ~uint64_t{0});
  json.Field("d", 1.0).Field("f", -0.1f).Field("inf", -1.0 / 0.0).Field("nan", 0.0 / 0.0);
  json.Key("l").Begin('[').Begin('[').End(']').Value(true).Null().End(']').End('}');
  EXPECT_EQ(out, R"({"s":"a\"\\\n\u0001é","i":-3,"u":18446744073709551615,"d":1.0,"f":-0.1,)"
                 R"("inf":-9999.0,"nan":null,"l":[[],true,null]})");
}

}  // namespace
}  // namespace banyan::serve
