// SPDX-License-Identifier: Apache-2.0
// An agent that goes on from its own past, through the whole engine on models with each kind of
// cache: a turn computes what is new, and at most 64 tokens before it.
#include <gtest/gtest.h>

#include <filesystem>
#include <future>

#include "engine/engine.h"

namespace banyan {
namespace {

class ConversationTest : public testing::TestWithParam<const char*> {};

TEST_P(ConversationTest, ATurnComputesWhatIsNew) {
  const std::filesystem::path model =
      std::filesystem::path(BANYAN_SOURCE_DIR) / "tests/golden/models" / GetParam();
  if (!std::filesystem::exists(model / "model.safetensors")) GTEST_SKIP() << model;
  EngineConfig config;
  config.model_path = model.string();
  config.skip_tokenizer_init = true;
  config.dtype = "float32";
  config.max_total_tokens = 8192;
  config.context_length = 2048;
  config.max_running_requests = 2;
  auto engine = Engine::Start(config);
  ASSERT_TRUE(engine.ok()) << Message(engine.status());
  const int vocab = (*engine)->model().vocab_size;

  std::vector<TokenId> text;
  const auto add = [&](int count) {
    for (int i = 0; i < count; ++i)
      text.push_back(static_cast<TokenId>(3 + (text.size() * 7 + i) % (vocab - 3)));
  };
  add(200);
  int known = 0;
  const int outputs[] = {21, 150, 145, 22,
                         147};  // a turn ends at, before and behind borders of pages
  for (int turn = 0; turn < 5; ++turn) {
    GenerateRequest request;
    request.input_ids = text;
    request.sampling.max_new_tokens = outputs[turn];
    request.sampling.temperature = 0;
    request.sampling.ignore_eos = true;
    request.want_text = request.stream = false;
    std::promise<GenerateUpdate> end;
    const auto submitted = (*engine)->Submit(
        std::move(request), [&end](GenerateUpdate update) { end.set_value(std::move(update)); });
    ASSERT_TRUE(submitted.ok()) << Message(submitted.status());
    const GenerateUpdate update = end.get_future().get();
    ASSERT_TRUE(update.finish->status.ok()) << Message(update.finish->status);
    if (turn > 0) {
      const int fresh = update.prompt_tokens - known;
      EXPECT_LE(update.prompt_tokens - update.cached_tokens, fresh + 64) << "turn " << turn;
    }
    text.insert(text.end(), update.tokens.begin(), update.tokens.end());
    known = static_cast<int>(text.size());
    add(13 + turn);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ConversationTest,
                         testing::Values("llama", "gemma3_text", "llama4_text", "qwen3_next",
                                         "mamba2", "mamba", "jamba"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace banyan
