// SPDX-License-Identifier: Apache-2.0
// Models whose rope looks at how long the text is, through the whole engine, held against
// transformers: prompts below, at and beyond the limit, and texts that grow across it, one engine
// for all.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>

#include "base/json.h"
#include "engine/engine.h"

namespace banyan {
namespace {

namespace fs = std::filesystem;

class RopeLengthsTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const fs::path folder = fs::path(BANYAN_SOURCE_DIR) / "tests/golden/models" / GetParam();
    std::stringstream text;
    text << std::ifstream(folder / "golden.json").rdbuf();
    golden_ = *ParseJson(text.str());
    EngineConfig config;
    config.model_path = folder.string();
    config.skip_tokenizer_init = true;
    config.dtype = "float32";
    config.page_size = 4;
    config.chunked_prefill_size = 32;
    config.max_total_tokens = 4096;
    auto engine = Engine::Start(config);
    ASSERT_TRUE(engine.ok()) << Message(engine.status());
    engine_ = *std::move(engine);
  }

  GenerateUpdate Run(std::vector<TokenId> prompt, int outputs, bool prompt_logprobs) {
    GenerateRequest request;
    request.input_ids = std::move(prompt);
    request.sampling.max_new_tokens = outputs;
    request.sampling.temperature = 0.0f;
    request.sampling.ignore_eos = true;
    request.logprobs.enabled = true;
    if (prompt_logprobs) request.logprobs.prompt_start = 0;
    request.want_text = request.stream = false;
    std::promise<GenerateUpdate> end;
    const auto id =
        engine_->Submit(request, [&](GenerateUpdate update) { end.set_value(std::move(update)); });
    EXPECT_TRUE(id.ok()) << Message(id.status());
    return end.get_future().get();
  }

  json::value golden_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(RopeLengthsTest, AsTransformers) {
  for (const json::value& item : golden_.as_array()) {
    const auto prompt = json::value_to<std::vector<TokenId>>(item.at("prompt_ids"));
    const auto greedy = json::value_to<std::vector<TokenId>>(item.at("greedy_ids"));
    SCOPED_TRACE(fmt::format("a prompt of {}", prompt.size()));
    // What a shorter prompt leaves in the cache may be there.
    Run({prompt.begin(), prompt.begin() + static_cast<std::ptrdiff_t>(prompt.size() / 2 + 1)}, 2,
        false);
    for (const bool prompt_logprobs : {false, true}) {
      const GenerateUpdate update = Run(prompt, static_cast<int>(greedy.size()), prompt_logprobs);
      EXPECT_EQ(update.tokens, greedy);
      ASSERT_EQ(update.logprobs.size(), greedy.size());
      for (std::size_t i = 0; i < greedy.size(); ++i)
        EXPECT_NEAR(*update.logprobs[i].logprob,
                    item.at("greedy_logprobs").at(i).to_number<double>(), 2e-4);
      for (std::size_t i = 1; i < update.prompt_logprobs.size(); ++i)
        EXPECT_NEAR(*update.prompt_logprobs[i].logprob,
                    item.at("prompt_logprobs").at(i).to_number<double>(), 2e-4);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, RopeLengthsTest,
                         testing::Values("phi3_long", "llama_dynamic", "llama_longrope",
                                         "phimoe_long"),
                         [](const auto& model) { return std::string(model.param); });

}  // namespace
}  // namespace banyan
