// SPDX-License-Identifier: Apache-2.0
// A long output of a model with sliding windows, through the whole engine: however long it gets, it
// holds as many pages of the window's cache as the window needs.
#include <gtest/gtest.h>

#include <filesystem>
#include <future>

#include "engine/engine.h"

namespace banyan {
namespace {

TEST(WindowTest, ALongOutputHoldsABoundedNumberOfPages) {
  const std::filesystem::path model =
      std::filesystem::path(BANYAN_SOURCE_DIR) / "tests/golden/models/gemma3_text";
  if (!std::filesystem::exists(model / "model.safetensors")) GTEST_SKIP() << model;
  constexpr int kOutputs = 420, kPrompt = 40;
  EngineConfig config;
  config.model_path = model.string();
  config.skip_tokenizer_init = true;
  config.dtype = "float32";
  config.page_size = 4;
  config.max_total_tokens = 512;
  config.max_running_requests = 2;
  // The pools of windows get no more than one request needs.
  config.swa_full_tokens_ratio = 0.01;
  config.chunked_prefill_size = 16;
  auto engine = Engine::Start(config);
  ASSERT_TRUE(engine.ok()) << Message(engine.status());

  std::promise<GenerateUpdate> end;
  GenerateRequest request;
  for (int i = 0; i < kPrompt; ++i) request.input_ids.push_back(5 + i);
  request.sampling.max_new_tokens = kOutputs;
  request.sampling.ignore_eos = true;
  request.want_text = request.stream = false;
  const auto submitted = (*engine)->Submit(
      std::move(request), [&end](GenerateUpdate update) { end.set_value(std::move(update)); });
  ASSERT_TRUE(submitted.ok()) << Message(submitted.status());
  const GenerateUpdate last = end.get_future().get();
  ASSERT_TRUE(last.finish->status.ok()) << Message(last.finish->status);
  EXPECT_EQ(last.completion_tokens, kOutputs);
  EXPECT_EQ(last.retractions, 0);
  const auto& groups = (*engine)->model().cache_groups;
  const auto pools = (*engine)->Snapshot().scheduler.pools;
  ASSERT_EQ(pools.size(), groups.size());
  int windows = 0;
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].type != CacheKindType::kWindow) continue;
    ++windows;
    EXPECT_LT(pools[i].total * config.page_size, kOutputs / 10) << groups[i].name;
  }
  EXPECT_GT(windows, 0);
}

}  // namespace
}  // namespace banyan
