// SPDX-License-Identifier: Apache-2.0
// What an engine tells of its load, and that several ranks tell the sum.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
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
  std::latch ended(kRequests), paused(1);
  std::atomic<int64_t> most{0};  // seen at one moment
  const auto engine = Engine::Start(config).value();
  // All begin together, so that every rank has others to retract for.
  engine->Pause(PauseMode::kInPlace, [&](const Status&) { paused.count_down(); });
  paused.wait();
  for (int i = 0; i < kRequests; ++i) {
    GenerateRequest request;
    request.input_ids = std::vector<TokenId>(kPrompt, 'a' + i);
    request.sampling.max_new_tokens = 200;
    request.sampling.ignore_eos = true;
    const auto sink = [&](const GenerateUpdate& update) {
      most = std::max(most.load(), engine->Snapshot().retracted);
      if (update.finish) ended.count_down();
    };
    ASSERT_TRUE(engine->Submit(std::move(request), sink).ok());
  }
  engine->Continue([](const Status&) {});
  ended.wait();
  // Each rank publishes its figures before it answers.
  std::latch answered(1);
  engine->Continue([&](const Status&) { answered.count_down(); });
  answered.wait();
  EngineSnapshot sum;
  for (int rank = 0; rank < 2; ++rank) {
    const EngineSnapshot one = engine->RankSnapshot(rank);
    EXPECT_GT(one.scheduler.retracted_total, 10);
    EXPECT_EQ(one.scheduler.retracted_input_total, kPrompt * one.scheduler.retracted_total);
    EXPECT_GT(one.scheduler.retracted_output_total, 0);
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
  // Of twelve decoding steps, on each rank: a plan in three retracts.
  EXPECT_GT(most, 0);
  EXPECT_LE(most, 2 * 12);
}

}  // namespace
}  // namespace banyan
