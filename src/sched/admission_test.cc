// SPDX-License-Identifier: Apache-2.0
// How much of what requests may still make is reserved for them: SGLang's constants, the decay
// while all goes well, the rise after a retraction, the return when nothing is left to do.
#include "sched/admission.h"

#include <gtest/gtest.h>

#include "sched/scheduler_harness.h"

namespace banyan {
namespace {

TEST(NewTokenRatioTest, DecaysIn600StepsToTheLowestAndRecovers) {
  NewTokenRatio ratio(1.0);
  EXPECT_DOUBLE_EQ(ratio.value(), 0.7);
  ratio.Decay();
  EXPECT_NEAR(ratio.value(), 0.7 - 0.7 * 0.86 / 600, 1e-12);
  for (int i = 1; i < 600; ++i) ratio.Decay();
  EXPECT_NEAR(ratio.value(), 0.098, 1e-9);
  for (int i = 0; i < 100; ++i) ratio.Decay();
  EXPECT_NEAR(ratio.value(), 0.098, 1e-9) << "no lower";
  ratio.Reset();
  EXPECT_DOUBLE_EQ(ratio.value(), 0.7);
}

TEST(NewTokenRatioTest, ConservativenessMovesBothEnds) {
  NewTokenRatio bold(0.5), careful(10);
  EXPECT_DOUBLE_EQ(bold.value(), 0.35);
  EXPECT_DOUBLE_EQ(careful.value(), 1) << "more than all cannot be reserved";
  for (int i = 0; i < 1000; ++i) bold.Decay(), careful.Decay();
  EXPECT_NEAR(bold.value(), 0.049, 1e-9);
  EXPECT_NEAR(careful.value(), 0.14, 1e-9);
}

TEST(NewTokenRatioTest, RisesToWhatTheOthersMakeOfWhatTheyMay) {
  NewTokenRatio ratio(1.0);
  std::vector<std::unique_ptr<Request>> requests;
  std::vector<Request*> running;
  for (const auto& [made, allowed] : {std::pair(30, 100), {60, 100}}) {
    requests.push_back(
        std::make_unique<Request>(MakeArrival(requests.size() + 1, Count(0, 5), allowed), 0));
    for (int i = 0; i < made; ++i) requests.back()->tokens.push_back(i);
    running.push_back(requests.back().get());
  }
  for (int i = 0; i < 600; ++i) ratio.Decay();
  // What they have made, and 20 steps more of each, which is to do until the next retraction.
  ratio.Raise(running);
  EXPECT_NEAR(ratio.value(), (30 + 60 + 2 * 20) / (100 + 100 + 1.0), 1e-12);
  ratio.Decay();
  EXPECT_LT(ratio.value(), 130 / 201.0) << "from there it decays again";
  requests[0]->tokens.resize(500);
  ratio.Raise(running);
  EXPECT_DOUBLE_EQ(ratio.value(), 1);
}

// The same as the scheduler does it: down with every step that decodes, up with a retraction, back
// when there is nothing to do.
TEST(NewTokenRatioTest, FollowsTheSchedule) {
  SchedulerConfig config = SmallConfig(64);
  config.schedule_conservativeness = 0.1;
  Harness h(config);
  const auto ratio = [&] { return h.scheduler->stats().new_token_ratio; };
  h.Step({.arrivals = {MakeArrival(1, Count(0, 5), 45)}});
  EXPECT_DOUBLE_EQ(ratio(), 0.07) << "a prompt decides nothing";
  h.Step({.arrivals = {MakeArrival(2, Count(100, 5), 45)}});
  EXPECT_EQ(h.scheduler->stats().running, 2) << "of the first hardly any output is expected";
  double before = ratio();
  int decoded = 0;
  while (h.scheduler->stats().retracted_total == 0) {
    h.Step();
    if (h.scheduler->stats().retracted_total > 0) break;
    EXPECT_LT(ratio(), before);
    before = ratio();
    ASSERT_LT(++decoded, 60);
  }
  EXPECT_GT(decoded, 15);
  EXPECT_GT(ratio(), 0.5) << "the other has made half, and 20 more are expected";
  h.RunToEnd();
  h.Step();
  EXPECT_DOUBLE_EQ(ratio(), 0.07);
}

}  // namespace
}  // namespace banyan
