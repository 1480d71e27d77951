// SPDX-License-Identifier: Apache-2.0
// The runner over a model whose logits are a hash of what it is shown, so that any mistake in
// tokens, positions or page tables changes the answer.
#include "run/runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <new>
#include <stdexcept>

#include "device/testing.h"
#include "run/cpu_device.h"
#include "run/executor.h"

namespace banyan {
namespace {

using ::testing::ElementsAre;

constexpr int kVocab = 64;
constexpr int kPage = 4;

// Writes each token into the key pool at its position, and gives at a row the logits that follow
// from all tokens of its sequence in the pool: a peak at their sum.
class HashModel final : public nn::Model {
 public:
  HashModel() {
    info_.vocab_size = kVocab;
    info_.hidden_size = 1;
    info_.context_length = 1024;
    info_.cache_groups = {
        CacheGroupSpec{.segments = {{.role = SegmentRole::kKey, .heads = 1, .dim = 1},
                                    {.role = SegmentRole::kValue, .heads = 1, .dim = 1}},
                       .name = "full"}};
  }
  const nn::ModelInfo& info() const override { return info_; }
  Status Forward(const ops::OpContext& context, const nn::ForwardBatch& batch,
                 const Tensor& logits) override {
    ++passes;
    if (scratch_bytes > 0) context.scratch->GetBytes(scratch_bytes);
    most_logits = std::max<int64_t>(most_logits, logits.dim(0));
    if (fail) return Internal("no luck");
    std::vector<int> sums(batch.tokens.size());
    float* keys = batch.pools[0].layers[0].kv.keys.data<float>();
    for (const ops::AttentionSequence& sequence : batch.sequences[0]) {
      const auto slot = [&](int p) { return sequence.pages[p / kPage] * kPage + p % kPage; };
      for (int t = 0; t < sequence.q_len; ++t) {
        const int position = sequence.kv_len - sequence.q_len + t;
        EXPECT_EQ(batch.positions[sequence.q_begin + t], position);
        keys[slot(position)] = static_cast<float>(batch.tokens[sequence.q_begin + t]);
        int sum = 0;
        for (int p = 0; p <= position; ++p) sum += static_cast<int>(keys[slot(p)]) * (p % 3 + 1);
        sums[sequence.q_begin + t] = sum;
      }
    }
    for (std::size_t i = 0; i < batch.logit_rows.size(); ++i) {
      float* row = logits.Row(static_cast<int64_t>(i)).data<float>();
      std::fill(row, row + kVocab, 0.0f);
      row[sums[batch.logit_rows[i]] % kVocab] = 3.0f;
    }
    return OkStatus();
  }
  int passes = 0;
  int64_t most_logits = 0;
  bool fail = false;
  std::size_t scratch_bytes = 0;  // that a pass takes

 private:
  nn::ModelInfo info_;
};

TokenId Expected(const std::vector<TokenId>& tokens) {
  int sum = 0;
  for (std::size_t p = 0; p < tokens.size(); ++p) sum += tokens[p] * (static_cast<int>(p) % 3 + 1);
  return sum % kVocab;
}

class RunnerTest : public ::testing::Test {
 protected:
  void Make(int64_t max_logit_rows) {
    auto model = std::make_unique<HashModel>();
    model_ = model.get();
    const int64_t pages[] = {32};
    nn::CachePools pools =
        *nn::CachePools::Allocate(device_->backend(), model->info().cache_groups, pages, kPage);
    ops::OpContext context = device_->context();
    context.backend = &backend_;
    context.scratch = &scratch_;
    runner_ = std::make_unique<Runner>(
        context, std::move(model), std::move(pools),
        RunnerOptions{.max_rows = 4,
                      .max_logit_bytes = max_logit_rows * kVocab * int64_t{sizeof(float)}});
  }
  // A plan that opens row `row` with pages from `first_page` on.
  static void Open(StepPlan& plan, RowId row, PageId first_page, LogprobParams logprobs = {}) {
    plan.opened.push_back(
        {.row = row, .sampling = {.temperature = 0}, .logprobs = std::move(logprobs)});
    for (int i = 0; i < 8; ++i) plan.pages.push_back({row, 0, i, first_page + 7 - i});
  }
  static Span Prefill(RowId row, std::vector<TokenId> tokens, bool sample) {
    Span span{.row = row, .num_tokens = static_cast<int32_t>(tokens.size()), .length_bound = 32};
    span.tokens = std::move(tokens);
    span.sample = sample;
    return span;
  }
  static Span Decode(RowId row) {
    return {.row = row, .num_tokens = 1, .length_bound = 32, .sample = true};
  }

  std::unique_ptr<CpuDevice> device_ = *CpuDevice::Create("reference", 1);
  LimitedBackend backend_{std::size_t{16} << 20};
  ops::Scratch scratch_{&backend_};
  HashModel* model_ = nullptr;
  std::unique_ptr<Runner> runner_;
};

TEST_F(RunnerTest, ChunksMixWithDecodesAndSeeTheirOwnPages) {
  Make(100);
  StepPlan plan{.number = 1};
  Open(plan, 0, 1);
  Open(plan, 2, 9);
  plan.spans = {Prefill(2, {5, 6, 7}, true), Prefill(0, {1, 2, 3, 4, 5}, false)};
  StepOutcome outcome = runner_->Execute(plan);
  ASSERT_TRUE(outcome.error.ok());
  std::vector<TokenId> two = {5, 6, 7};
  EXPECT_THAT(outcome.rows[0].accepted, ElementsAre(Expected(two)));
  EXPECT_TRUE(outcome.rows[1].accepted.empty());

  StepPlan next{.number = 2, .spans = {Decode(2), Prefill(0, {6, 7}, true)}};
  outcome = runner_->Execute(next);
  two.push_back(Expected(two));
  EXPECT_THAT(outcome.rows[0].accepted, ElementsAre(Expected(two)));
  EXPECT_THAT(outcome.rows[1].accepted, ElementsAre(Expected({1, 2, 3, 4, 5, 6, 7})));

  // The row is closed and opened again in one plan, on the prefix that is still in its pages.
  StepPlan again{.number = 3, .closed = {2}};
  Open(again, 2, 9);
  again.opened[0].length = 3;
  again.spans = {Prefill(2, {9}, true)};
  outcome = runner_->Execute(again);
  EXPECT_THAT(outcome.rows[0].accepted, ElementsAre(Expected({5, 6, 7, 9})));
}

TEST_F(RunnerTest, PromptLogprobsDoNotDependOnThePasses) {
  std::vector<StepOutcome> outcomes;
  for (const int64_t rows : {100, 4, 1}) {
    Make(rows);
    StepPlan plan{.number = 1};
    Open(plan, 0, 1, {.enabled = true, .prompt_start = 0, .top_n = 2});
    Open(plan, 1, 9);
    plan.spans = {Prefill(0, {1, 2, 3, 4, 5, 6}, true), Prefill(1, {3, 3, 3}, true)};
    plan.spans[0].prompt_logprob_first = 1;
    plan.spans[0].prompt_logprob_targets = {3, 4, 5, 6};
    outcomes.push_back(runner_->Execute(plan));
    EXPECT_LE(model_->most_logits, std::max<int64_t>(rows, 1));
    EXPECT_GE(model_->passes, rows >= 100 ? 1 : 2);
  }
  for (const StepOutcome& outcome : outcomes) {
    ASSERT_TRUE(outcome.error.ok());
    const auto& prompt = outcome.rows[0].prompt_logprobs;
    ASSERT_EQ(prompt.size(), 4u);
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(prompt[i].id, 3 + i);
      EXPECT_EQ(prompt[i].logprob, outcomes[0].rows[0].prompt_logprobs[i].logprob);
      EXPECT_EQ(prompt[i].top, outcomes[0].rows[0].prompt_logprobs[i].top);
    }
    EXPECT_EQ(prompt[0].top[0].second, Expected({1, 2}));
    EXPECT_THAT(outcome.rows[0].accepted, ElementsAre(Expected({1, 2, 3, 4, 5, 6})));
    EXPECT_THAT(outcome.rows[1].accepted, ElementsAre(Expected({3, 3, 3})));
  }
}

TEST_F(RunnerTest, AFailedStepMarksItsRowsAndNoOther) {
  Make(100);
  StepPlan plan{.number = 1};
  Open(plan, 0, 1);
  Open(plan, 1, 9);
  plan.spans = {Prefill(0, {1}, true), Prefill(1, {2}, true)};
  runner_->Execute(plan);
  model_->fail = true;
  EXPECT_FALSE(runner_->Execute({.number = 2, .spans = {Decode(0)}}).error.ok());
  model_->fail = false;
  const StepOutcome outcome = runner_->Execute({.number = 3, .spans = {Decode(0), Decode(1)}});
  EXPECT_TRUE(outcome.error.ok());
  EXPECT_FALSE(outcome.rows[0].error.ok());
  EXPECT_TRUE(outcome.rows[1].error.ok());
  EXPECT_EQ(outcome.rows[1].accepted.size(), 1u);
}

// Memory is set aside for the largest step; where that was not enough, as for any other failure.
TEST_F(RunnerTest, AStepWithoutMemoryEndsItsRowsAndNoOther) {
  Make(100);
  ASSERT_TRUE(runner_->Reserve({.scratch_bytes = 4 << 20, .logit_bytes = 2 * kVocab * 4}).ok());
  backend_.set_limit(backend_.held());
  model_->scratch_bytes = 4 << 20;
  StepPlan plan{.number = 1};
  Open(plan, 0, 1);
  Open(plan, 1, 9);
  plan.spans = {Prefill(0, {1}, true), Prefill(1, {2}, true)};
  EXPECT_TRUE(runner_->Execute(plan).error.ok());

  model_->scratch_bytes = 5 << 20;
  StepOutcome outcome = runner_->Execute({.number = 2, .spans = {Decode(0)}});
  EXPECT_EQ(outcome.error.code(), StatusCode::kResourceExhausted);
  model_->scratch_bytes = 4 << 20;
  outcome = runner_->Execute({.number = 3, .spans = {Decode(0), Decode(1)}});
  EXPECT_TRUE(outcome.error.ok());
  EXPECT_FALSE(outcome.rows[0].error.ok());
  EXPECT_EQ(outcome.rows[1].accepted.size(), 1u);

  // More logits than were reserved, and no memory for them.
  backend_.set_limit(0);
  StepPlan scored{.number = 4};
  Open(scored, 2, 17, {.enabled = true, .prompt_start = 0});
  scored.spans = {Prefill(2, {1, 2, 3, 4}, true), Decode(1)};
  scored.spans[0].prompt_logprob_first = 0;
  scored.spans[0].prompt_logprob_targets = {2, 3, 4};
  EXPECT_EQ(runner_->Execute(scored).error.code(), StatusCode::kResourceExhausted);
}

TEST(Executor, KeepsTheOrderAndOutlivesExceptions) {
  class Throwing final : public StepRunner {
   public:
    StepOutcome Execute(const StepPlan& plan) override {
      if (plan.number == 2) throw std::bad_alloc();
      if (plan.number == 3) throw std::runtime_error("odd");
      return {.number = plan.number};
    }
  };
  Queue<StepOutcome> outcomes;
  Executor executor(std::make_unique<Throwing>(),
                    [&](StepOutcome outcome) { outcomes.Push(std::move(outcome)); });
  for (PlanNumber n = 1; n <= 4; ++n) executor.Submit({.number = n});
  EXPECT_TRUE(outcomes.Pop()->error.ok());
  EXPECT_EQ(outcomes.Pop()->error.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(outcomes.Pop()->error.code(), StatusCode::kInternal);
  EXPECT_EQ(outcomes.Pop()->number, 4u);
  EXPECT_FALSE(executor.activity().has_value());
}

}  // namespace
}  // namespace banyan
