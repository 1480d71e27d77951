// SPDX-License-Identifier: Apache-2.0
// What a stream of /generate says in each event, and how often it works it out.
#include "serve/native/generate_format.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "engine/byte_tokenizer.h"
#include "text/wrapped_tokenizer.h"

namespace banyan::serve {
namespace {

// Counts the tokens that it is asked to spell.
class CountingTokenizer final : public text::WrappedTokenizer {
 public:
  CountingTokenizer() : WrappedTokenizer(*MakeByteTokenizer()) {}
  std::string TokenBytes(TokenId id) const override {
    ++spelled;
    return WrappedTokenizer::TokenBytes(id);
  }

  mutable int spelled = 0;
};

TokenLogprob Logprob(char token, std::optional<float> logprob) {
  return {.id = token, .logprob = logprob, .top = {{-1.0f, token}, {-2.0f, 'z'}}, .of_ids = {-7}};
}

// The first token of the prompt has no log-probability.
GenerateUpdate First() {
  GenerateUpdate update;
  update.text = "x";
  update.tokens = {'x'};
  update.logprobs = {Logprob('x', -0.5f)};
  for (int i = 0; i < 100; ++i)
    update.prompt_logprobs.push_back(Logprob('p', i > 0 ? std::optional(-0.25f) : std::nullopt));
  return update;
}

GenerateUpdate Next() {
  GenerateUpdate update;
  update.text = "y";
  update.tokens = {'y'};
  update.logprobs = {Logprob('y', -0.5f)};
  return update;
}

struct Stream {
  std::shared_ptr<CountingTokenizer> tokenizer = std::make_shared<CountingTokenizer>();
  std::unique_ptr<ReplyFormat> format;
  Choice choice;

  explicit Stream(bool incremental) {
    GenerateReplyInfo info;
    info.incremental = incremental;
    info.text_in_logprobs = true;
    info.tokenizer = tokenizer;
    info.per_prompt.push_back(
        {.enabled = true, .prompt_start = 0, .top_n = 2, .token_ids = {TokenId{'q'}}});
    format = MakeGenerateFormat(std::move(info));
  }
  json::object Push(GenerateUpdate update) {
    std::string event;
    format->AppendUpdate(event, choice, update);
    EXPECT_TRUE(event.starts_with("data: ") && event.ends_with("\n\n"));
    auto object = ParseJsonObject(std::string_view(event).substr(6, event.size() - 8), "event");
    EXPECT_TRUE(object.ok()) << object.status() << event;
    return object.ok() ? object->at("meta_info").as_object() : json::object();
  }
};

std::size_t Length(const json::object& meta, const char* key) {
  return meta.at(key).as_array().size();
}

TEST(GenerateFormat, AnEventThatHasAllSoFarWritesOnlyWhatIsNew) {
  Stream stream(false);
  const json::object first = stream.Push(First());
  const int spelled = stream.tokenizer->spelled;
  EXPECT_GE(spelled, 101);
  json::object last;
  for (int i = 0; i < 10; ++i) last = stream.Push(Next());
  EXPECT_EQ(stream.tokenizer->spelled, spelled + 10 * 4);  // the token, two tops, one given id
  for (const char* key :
       {"input_token_logprobs", "input_top_logprobs", "input_token_ids_logprobs"}) {
    EXPECT_EQ(Length(last, key), 100u);
    EXPECT_EQ(last.at(key), first.at(key)) << key;
  }
  for (const char* key :
       {"output_token_logprobs", "output_top_logprobs", "output_token_ids_logprobs"})
    EXPECT_EQ(Length(last, key), 11u) << key;
  EXPECT_EQ(json::serialize(last.at("input_token_logprobs").at(0)), R"([null,112,"p"])");
  EXPECT_TRUE(last.at("input_top_logprobs").at(0).is_null());
  EXPECT_EQ(Length(last, "output_top_logprobs"), 11u);
  EXPECT_EQ(last.at("output_top_logprobs").at(10).as_array().size(), 2u);
  EXPECT_EQ(json::serialize(last.at("output_token_logprobs").at(10).at(2)), R"("y")");
}

TEST(GenerateFormat, WithoutATokenizerThereIsNoText) {
  GenerateReplyInfo info;
  info.text_in_logprobs = true;
  info.per_prompt.push_back({.enabled = true, .prompt_start = 0});
  const auto format = MakeGenerateFormat(std::move(info));
  Choice choice;
  choice.tokens = {7};
  choice.logprobs = {Logprob('x', -0.5f)};
  const auto reply = ParseJsonObject(format->Whole({choice}), "reply");
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_FALSE(reply->contains("text"));
  EXPECT_TRUE(reply->at("meta_info").at("output_token_logprobs").at(0).at(2).is_null());
}

TEST(GenerateFormat, AnIncrementalEventHasWhatIsNew) {
  Stream stream(true);
  stream.Push(First());
  const json::object next = stream.Push(Next());
  EXPECT_EQ(Length(next, "input_token_logprobs"), 0u);
  EXPECT_EQ(Length(next, "output_token_logprobs"), 1u);
}

}  // namespace
}  // namespace banyan::serve
