// SPDX-License-Identifier: Apache-2.0
// Why a prefix was not found, through the whole engine on models with each kind of cache.
#include <gtest/gtest.h>

#include <filesystem>
#include <future>

#include "engine/engine.h"

namespace banyan {
namespace {

class CacheReportTest : public testing::Test {
 protected:
  // The engine, or null where the model is not there.
  std::unique_ptr<Engine> Start(const std::string& model, EngineConfig config = {}) {
    const auto path = std::filesystem::path(BANYAN_SOURCE_DIR) / "tests/golden/models" / model;
    if (!std::filesystem::exists(path / "model.safetensors")) return nullptr;
    config.model_path = path.string();
    config.skip_tokenizer_init = true;
    config.dtype = "float32";
    config.max_running_requests = 2;
    config.page_size = 4;
    auto engine = Engine::Start(config);
    EXPECT_TRUE(engine.ok()) << Message(engine.status());
    return *std::move(engine);
  }
  // The first `known` tokens of one text, then others.
  GenerateUpdate Ask(Engine& engine, int known, int others, int first = 40) {
    GenerateRequest request;
    for (int i = 0; i < known; ++i) request.input_ids.push_back(3 + i * 7 % 31);
    for (int i = 0; i < others; ++i) request.input_ids.push_back(first + i % 20);
    request.sampling.max_new_tokens = 20;
    request.sampling.ignore_eos = true;
    request.want_text = request.stream = false;
    std::promise<GenerateUpdate> end;
    EXPECT_TRUE(engine
                    .Submit(std::move(request),
                            [&end](GenerateUpdate update) { end.set_value(std::move(update)); })
                    .ok());
    return end.get_future().get();
  }
};

TEST_F(CacheReportTest, AStateThatWasNotKept) {
  for (const char* model : {"mamba2", "qwen3_next", "jamba"}) {
    SCOPED_TRACE(model);
    EngineConfig config;
    config.max_total_tokens = 4096;
    const auto engine = Start(model, config);
    if (engine == nullptr) GTEST_SKIP() << model;
    EXPECT_EQ(Ask(*engine, 100, 0).cache_miss, CacheMiss::kNew);
    // The state is that of the prompt's end and of the answer's: in the middle of them is none.
    const GenerateUpdate part = Ask(*engine, 60, 20);
    EXPECT_EQ(part.cache_miss, CacheMiss::kNoCheckpoint);
    EXPECT_EQ(part.cached_tokens, 0);
    // Where the two parted it was kept, and there the next one goes on.
    const GenerateUpdate again = Ask(*engine, 60, 20, 50);
    EXPECT_EQ(again.cache_miss, CacheMiss::kNew);
    EXPECT_EQ(again.cached_tokens, 60);
    // All of it but the token that is computed anyway.
    const GenerateUpdate whole = Ask(*engine, 100, 0);
    EXPECT_EQ(whole.cache_miss, CacheMiss::kNone);
    EXPECT_EQ(whole.cached_tokens, 96);
  }
}

TEST_F(CacheReportTest, AWindowThatIsGone) {
  EngineConfig config;
  config.max_total_tokens = 512;
  // The pools of windows, of eight positions here, get no more than a request needs.
  config.swa_full_tokens_ratio = 0.01;
  config.chunked_prefill_size = 16;
  const auto engine = Start("gemma3_text", config);
  if (engine == nullptr) GTEST_SKIP() << "gemma3_text";
  EXPECT_EQ(Ask(*engine, 100, 0).cache_miss, CacheMiss::kNew);
  const GenerateUpdate part = Ask(*engine, 60, 20);
  EXPECT_EQ(part.cache_miss, CacheMiss::kWindowGone);
  EXPECT_EQ(part.cached_tokens, 0);
}

}  // namespace
}  // namespace banyan
