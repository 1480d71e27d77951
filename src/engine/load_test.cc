// SPDX-License-Identifier: Apache-2.0
// What an engine tells of its load, and that several ranks tell the sum.
#include <gtest/gtest.h>

#include <latch>

#include "engine/engine.h"

namespace banyan {
namespace {

TEST(LoadTest, RetractionsAreCountedSinceTheStartAndOfTheLastInterval) {
  constexpr int kRequests = 6, kPrompt = 20;
  EngineConfig config;
  config.model_path = kEchoModel;
  config.dp_size = 2;
  config.test_retract_interval = 3;
  config.decode_log_interval = 12;
  std::latch ended(kRequests), far(kRequests);
  const auto engine = Engine::Start(config).value();
  const auto control = [&](auto member, auto... arguments) {
    std::latch done(1);
    ((*engine).*member)(arguments..., [&](const Status&) { done.count_down(); });
    done.wait();
  };
  // All begin together, so that every rank has others to retract for, and none gets to its end.
  control(&Engine::Pause, PauseMode::kInPlace);
  for (int i = 0; i < kRequests; ++i) {
    GenerateRequest request;
    request.input_ids = std::vector<TokenId>(kPrompt, 'a' + i);
    request.sampling.max_new_tokens = 20'000;
    request.sampling.ignore_eos = true;
    const auto sink = [&, passed = false](const GenerateUpdate& update) mutable {
      if (!passed && update.completion_tokens >= 100) passed = true, far.count_down();
      if (update.finish) ended.count_down();
    };
    ASSERT_TRUE(engine->Submit(std::move(request), sink).ok());
  }
  control(&Engine::Continue);
  far.wait();
  control(&Engine::Pause,
          PauseMode::kInPlace);  // each rank publishes its figures before it answers
  EngineSnapshot sum;
  for (int rank = 0; rank < 2; ++rank) {
    const EngineSnapshot one = engine->RankSnapshot(rank);
    EXPECT_GT(one.scheduler.retracted_total, 10);
    EXPECT_EQ(one.scheduler.retracted_input_total, kPrompt * one.scheduler.retracted_total);
    EXPECT_GT(one.scheduler.retracted_output_total, 0);
    // Of twelve decoding steps: a plan in three retracts.
    EXPECT_GT(one.retracted, 0);
    EXPECT_LE(one.retracted, 12);
    sum.scheduler.retracted_total += one.scheduler.retracted_total;
    sum.scheduler.retracted_input_total += one.scheduler.retracted_input_total;
    sum.scheduler.retracted_output_total += one.scheduler.retracted_output_total;
    sum.retracted += one.retracted;
  }
  const EngineSnapshot all = engine->Snapshot();
  EXPECT_EQ(all.scheduler.retracted_total, sum.scheduler.retracted_total);
  EXPECT_EQ(all.scheduler.retracted_input_total, sum.scheduler.retracted_input_total);
  EXPECT_EQ(all.scheduler.retracted_output_total, sum.scheduler.retracted_output_total);
  EXPECT_EQ(all.retracted, sum.retracted);
  EXPECT_EQ(engine->AbortByRid("", true), kRequests);
  control(&Engine::Continue);
  ended.wait();
}

// Who has a reply and asks for the figures finds that request's in them.
TEST(LoadTest, FiguresOfTheLastRequestAreThereBeforeItsEnd) {
  constexpr int kPrompt = 64;
  EngineConfig config;
  config.model_path = kEchoModel;
  const auto engine = Engine::Start(config).value();
  for (int i = 0; i < 200; ++i) {
    GenerateRequest request;
    request.input_ids = std::vector<TokenId>(kPrompt, i);
    request.sampling.max_new_tokens = 2;
    request.sampling.ignore_eos = true;
    std::latch ended(1);
    int64_t finished = -1;
    const auto sink = [&](const GenerateUpdate& update) {
      if (!update.finish) return;
      finished = engine->Snapshot().scheduler.prompt_tokens_total;
      ended.count_down();
    };
    ASSERT_TRUE(engine->Submit(std::move(request), sink).ok());
    ended.wait();
    ASSERT_EQ(finished, (i + 1) * kPrompt);
  }
}

}  // namespace
}  // namespace banyan
