// SPDX-License-Identifier: Apache-2.0
// A long output of a model with sliding windows, through the whole engine: however long it gets, it
// holds as many pages of the window's cache as the window needs.
#include <gtest/gtest.h>

#include <algorithm>
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
  auto engine = Engine::Start(config);
  ASSERT_TRUE(engine.ok()) << Message(engine.status());
  const auto& groups = (*engine)->model().cache_groups;
  const auto window = std::find_if(groups.begin(), groups.end(), [](const CacheGroupSpec& group) {
    return group.type == CacheKindType::kWindow;
  });
  ASSERT_NE(window, groups.end());
  ASSERT_LT(window->window, 100);

  std::vector<int64_t> most(groups.size());
  std::promise<GenerateUpdate> end;
  GenerateRequest request;
  for (int i = 0; i < kPrompt; ++i) request.input_ids.push_back(5 + i);
  request.sampling.max_new_tokens = kOutputs;
  request.sampling.ignore_eos = true;
  request.want_text = false;
  const auto submitted = (*engine)->Submit(std::move(request), [&](GenerateUpdate update) {
    const auto pools = (*engine)->Snapshot().scheduler.pools;
    for (size_t i = 0; i < pools.size() && update.completion_tokens > 100; ++i) {
      most[i] = std::max(most[i], pools[i].leased);
    }
    if (update.finish) end.set_value(std::move(update));
  });
  ASSERT_TRUE(submitted.ok()) << Message(submitted.status());
  const GenerateUpdate last = end.get_future().get();
  EXPECT_EQ(last.completion_tokens, kOutputs);
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].type == CacheKindType::kWindow) {
      EXPECT_LE(most[i], groups[i].window / config.page_size + 4) << groups[i].name;
      EXPECT_GT(most[i], 0);
    } else {
      EXPECT_GT(most[i], 200 / config.page_size) << groups[i].name;
    }
  }
}

}  // namespace
}  // namespace banyan
