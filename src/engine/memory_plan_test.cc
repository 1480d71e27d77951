// SPDX-License-Identifier: Apache-2.0
// What steps take is kept free of cache, or they are made shorter.
#include "engine/memory_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace banyan {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class StepBudgetTest : public ::testing::Test {
 protected:
  StepBudgetTest() {
    model_.vocab_size = 100;
    model_.context_length = 1000;
    model_.cache_groups = {CacheGroupSpec{
        .segments = {{.heads = 1, .dim = 5, .dtype = DType::kBF16}}, .name = "full"}};
    config_.max_running_requests = 8;
    config_.mem_fraction_static = 0.5;
    steps_.measure = [this](const StepShape& shape) -> StatusOr<StepMemory> {
      shape_ = shape;
      return StepMemory{.scratch_bytes = shape.tokens * 1000,
                        .logit_bytes = shape.logit_rows * 400};
    };
  }
  StatusOr<SchedulerConfig> Plan(int64_t available, int64_t left) {
    steps_.left_bytes = left;
    return PlanMemory(config_, model_, available, &steps_);
  }

  EngineConfig config_;
  nn::ModelInfo model_;
  StepBudget steps_;
  StepShape shape_;  // measured last
};

TEST_F(StepBudgetTest, AStepThatFitsIsLeftAsItIs) {
  config_.chunked_prefill_size = 200;
  const auto plan = Plan(1'000'000, 1'000'000);
  ASSERT_TRUE(plan.ok()) << Message(plan.status());
  EXPECT_EQ(plan->chunked_prefill_size, 200);
  EXPECT_EQ(shape_.tokens, 200);
  EXPECT_EQ(shape_.rows, 8);
  EXPECT_EQ(shape_.length, 1000);
  EXPECT_EQ(steps_.memory.scratch_bytes, 200'000);
}

TEST_F(StepBudgetTest, TheCacheGetsWhatStepsLeave) {
  config_.chunked_prefill_size = 100;
  const auto plan = Plan(1'000'000, 150'000);  // the weights took more than was said
  ASSERT_TRUE(plan.ok()) << Message(plan.status());
  EXPECT_LE(config_.max_total_tokens * 10 + steps_.memory.bytes(), 150'000);
  EXPECT_GT(config_.max_total_tokens, 0);
}

TEST_F(StepBudgetTest, TooLongAStepIsCut) {
  for (const int given : {2048, -1}) {
    config_.max_total_tokens = 0;
    config_.chunked_prefill_size = given;
    const auto plan = Plan(400'000, 400'000);
    ASSERT_TRUE(plan.ok()) << Message(plan.status());
    EXPECT_GE(plan->chunked_prefill_size, 50);
    EXPECT_LT(plan->chunked_prefill_size, 200);
    EXPECT_EQ(config_.chunked_prefill_size, plan->chunked_prefill_size);
    EXPECT_LE(steps_.memory.bytes(), 200'000);
  }
}

TEST_F(StepBudgetTest, WhatCannotBeMeasuredDoesNotFit) {
  auto measure = steps_.measure;
  steps_.measure = [&](const StepShape& shape) -> StatusOr<StepMemory> {
    if (shape.tokens > 100) return ResourceExhausted("no memory");
    return measure(shape);
  };
  const auto plan = Plan(1 << 30, 1 << 30);
  ASSERT_TRUE(plan.ok()) << Message(plan.status());
  EXPECT_LE(plan->chunked_prefill_size, 100);
}

TEST_F(StepBudgetTest, WithoutRoomForTheShortestStepNothingStarts) {
  const auto plan = Plan(40'000, 40'000);
  EXPECT_EQ(plan.status().code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(Message(plan.status()),
              AllOf(HasSubstr("a step of 24 tokens needs"), HasSubstr("20000 bytes are left"),
                    HasSubstr("--max-running-requests")));
}

// Every request of a step gets its logits at once, or it is said that they do not fit.
TEST_F(StepBudgetTest, LogitsOfAllRequestsOrAWordAboutIt) {
  model_.vocab_size = 1 << 20;
  config_.chunked_prefill_size = 256;
  config_.max_running_requests = 64;
  for (const int64_t fit : {64, 16}) {
    const int64_t available = fit << 25;  // half is for steps, of which a quarter is for logits
    testing::internal::CaptureStderr();
    const auto plan = Plan(available, available);
    const std::string log = testing::internal::GetCapturedStderr();
    ASSERT_TRUE(plan.ok()) << Message(plan.status());
    EXPECT_EQ(shape_.logit_rows, fit);
    EXPECT_EQ(log.find("logits of 16 requests fit at a time (4096 KB each") != std::string::npos,
              fit < 64)
        << log;
  }
}

TEST_F(StepBudgetTest, AModelThatCannotRunIsToldAsSuch) {
  steps_.measure = [](const StepShape&) -> StatusOr<StepMemory> { return Internal("odd"); };
  EXPECT_EQ(Plan(1 << 30, 1 << 30).status().code(), StatusCode::kInternal);
}

}  // namespace
}  // namespace banyan
