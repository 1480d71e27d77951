// SPDX-License-Identifier: Apache-2.0
#include "run/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "run/cpu_device.h"

namespace banyan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr float kInf = std::numeric_limits<float>::infinity();

class SamplerTest : public ::testing::Test {
 protected:
  SamplerTest() : device_(*CpuDevice::Create("reference", 1)) {}

  RequestRow Row(SamplingParams sampling, std::vector<TokenId> generated = {}) {
    RequestRow row;
    row.open = true;
    row.sampling = std::move(sampling);
    for (const TokenId token : generated) row.Accept(token);
    return row;
  }
  // Samples one row from `logits`, which is left as the sampler leaves it.
  RowOutcome Sample(RequestRow& row, std::vector<float>& logits) {
    RowOutcome outcome;
    const SampleTarget target{&row, &outcome};
    SampleRows(device_->context(), View(logits, 1), {&target, 1}, false);
    return outcome;
  }
  static Tensor View(std::vector<float>& values, int64_t rows) {
    return Tensor(values.data(), DType::kF32,
                  Shape{rows, static_cast<int64_t>(values.size()) / rows});
  }

  std::unique_ptr<CpuDevice> device_;
};

SamplingParams Greedy() { return {.temperature = 0}; }

TEST_F(SamplerTest, PenaltiesFollowTheOutputOnly) {
  SamplingParams sampling = Greedy();
  sampling.frequency_penalty = 0.5f;
  sampling.presence_penalty = 0.25f;
  sampling.repetition_penalty = 2.0f;
  RequestRow row = Row(sampling, {1, 1, 2});
  std::vector<float> logits = {1.0f, 3.0f, 0.5f, 1.2f};
  const RowOutcome outcome = Sample(row, logits);
  // 1: (3 - 1 - 0.25) / 2; 2: (0.5 - 0.5 - 0.25) * 2.
  EXPECT_THAT(logits, ElementsAre(1.0f, 0.875f, -0.5f, 1.2f));
  EXPECT_THAT(outcome.accepted, ElementsAre(3));
  EXPECT_EQ(row.counts[3], 1);
  EXPECT_EQ(row.generated, 4);
}

TEST_F(SamplerTest, EndTokensWaitForMinNewTokens) {
  SamplingParams sampling = Greedy();
  sampling.min_new_tokens = 1;
  RequestRow row = Row(sampling);
  row.end_ids = {2, 999};
  std::vector<float> logits = {0, 1, 5};
  EXPECT_THAT(Sample(row, logits).accepted, ElementsAre(1));
  logits = {0, 1, 5};
  EXPECT_THAT(Sample(row, logits).accepted, ElementsAre(2));
}

TEST_F(SamplerTest, BiasComesAfterThePenalties) {
  SamplingParams sampling = Greedy();
  sampling.repetition_penalty = 2.0f;
  sampling.logit_bias = {{0, 10.0f}, {2, -kInf}};
  RequestRow row = Row(sampling, {0});
  std::vector<float> logits = {2, 3, 99};
  EXPECT_THAT(Sample(row, logits).accepted, ElementsAre(0));
  EXPECT_EQ(logits[0], 11.0f);
}

TEST_F(SamplerTest, OutputLogprobsAreAfterBiasAndTemperature) {
  SamplingParams sampling;
  sampling.temperature = 2.0f;
  sampling.top_k = 1;  // greedy: the temperature does not count
  sampling.logit_bias = {{1, 1.0f}};
  RequestRow greedy = Row(sampling);
  greedy.logprobs = {.enabled = true, .top_n = 2, .token_ids = {2}};
  std::vector<float> logits = {0, 1, 0};
  RowOutcome outcome = Sample(greedy, logits);
  const auto log_sum = static_cast<float>(std::log(2 + std::exp(2.0)));
  ASSERT_EQ(outcome.logprobs.size(), 1u);
  EXPECT_NEAR(*outcome.logprobs[0].logprob, 2 - log_sum, 1e-6);
  EXPECT_EQ(outcome.logprobs[0].id, 1);
  ASSERT_EQ(outcome.logprobs[0].top.size(), 2u);
  EXPECT_EQ(outcome.logprobs[0].top[1].second, 0);
  EXPECT_NEAR(outcome.logprobs[0].of_ids[0], -log_sum, 1e-6);

  sampling.top_k = -1;
  sampling.seed = 3;
  RequestRow drawn = Row(sampling);
  drawn.logprobs = {.enabled = true, .token_ids = {1}};
  logits = {0, 1, 0};
  outcome = Sample(drawn, logits);
  EXPECT_NEAR(outcome.logprobs[0].of_ids[0], 1 - std::log(2 + std::exp(1.0)), 1e-6);
}

TEST_F(SamplerTest, WhatIsNotFiniteEndsItsRowAlone) {
  RequestRow bad = Row(Greedy()), good = Row({.temperature = 1.0f}), masked = Row(Greedy());
  masked.sampling.logit_bias = {{0, -kInf}, {1, -kInf}};
  RowOutcome outcomes[3];
  const SampleTarget targets[] = {
      {&bad, &outcomes[0]}, {&good, &outcomes[1]}, {&masked, &outcomes[2]}};
  std::vector<float> logits = {std::nanf(""), 1, 2, 1, 1, 1};
  SampleRows(device_->context(), View(logits, 3), targets, false);
  EXPECT_EQ(outcomes[0].error.code(), StatusCode::kInternal);
  EXPECT_TRUE(outcomes[0].accepted.empty());
  EXPECT_TRUE(outcomes[1].error.ok());
  EXPECT_EQ(outcomes[1].accepted.size(), 1u);
  EXPECT_EQ(outcomes[2].error.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(outcomes[2].error), HasSubstr("logit_bias"));
}

TEST_F(SamplerTest, ADrawDependsOnSeedAndPositionAlone) {
  constexpr int kVocab = 50, kRows = 6;
  const auto draw = [&](int rows, int which, int length) {
    std::vector<float> logits(rows * kVocab);
    for (int r = 0; r < rows; ++r) {
      for (int i = 0; i < kVocab; ++i)
        logits[r * kVocab + i] = std::sin(static_cast<float>(r == which ? i : i * (r + 2)));
    }
    std::vector<RequestRow> state;
    std::vector<RowOutcome> outcomes(rows);
    std::vector<SampleTarget> targets;
    state.reserve(rows);
    for (int r = 0; r < rows; ++r) {
      state.push_back(Row({.temperature = 1.5f}));
      state.back().seed = r == which ? 42 : 1000 + r;
      state.back().length = r == which ? length : 7 * r + 1;
      targets.push_back({&state[r], &outcomes[r]});
    }
    SampleRows(device_->context(), View(logits, rows), targets, false);
    return outcomes[which].accepted[0];
  };
  int changes = 0;
  for (int length = 1; length < 9; ++length) {
    const TokenId alone = draw(1, 0, length);
    for (int which = 0; which < kRows; ++which) EXPECT_EQ(draw(kRows, which, length), alone);
    changes += alone != draw(1, 0, length + 1);
  }
  EXPECT_GT(changes, 0);
}

TEST_F(SamplerTest, PromptLogprobsAreUnscaled) {
  RequestRow row = Row({.temperature = 5.0f});
  row.sampling.logit_bias = {{0, 100.0f}};
  row.logprobs = {.enabled = true, .prompt_start = 0};
  RowOutcome outcome;
  const PromptTarget targets[] = {{&row, &outcome, 1}, {&row, &outcome, 0}};
  std::vector<float> logits = {0, 1, 3, 2};
  ScorePrompt(device_->context(), View(logits, 2), targets);
  ASSERT_EQ(outcome.prompt_logprobs.size(), 2u);
  EXPECT_NEAR(*outcome.prompt_logprobs[0].logprob, -std::log1p(std::exp(-1.0)), 1e-6);
  EXPECT_NEAR(*outcome.prompt_logprobs[1].logprob, -std::log1p(std::exp(-1.0)), 1e-6);
}

}  // namespace
}  // namespace banyan
