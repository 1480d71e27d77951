// SPDX-License-Identifier: Apache-2.0
// Runner: the only place where plans meet tensors. Executes step plans on one device: applies the
// changes to its request rows, runs the model over the spans, samples, reads log-probabilities.
//
// A step whose logits would take more than `max_logit_bytes` (many prompt log-probabilities over a
// large vocabulary) is run as several passes over consecutive parts of its spans; results do not
// depend on that. Memory that a step lacks, though it was reserved for the largest one, is that
// step's error. Owns pools and rows; borrows what the context points to. The model may be shared by
// runners with contexts of their own: it keeps nothing of a step. One thread.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "nn/cache_pools.h"
#include "nn/model.h"
#include "run/request_rows.h"
#include "run/sampler.h"
#include "run/step_memory.h"
#include "run/step_runner.h"

namespace banyan {

struct RunnerOptions {
  int max_rows = 0;
  bool original_logprobs = false;  // see run/sampler.h
  int64_t max_logit_bytes = int64_t{128} << 20;
};

class Runner final : public StepRunner {
 public:
  Runner(ops::OpContext context, std::shared_ptr<nn::Model> model, nn::CachePools pools,
         const RunnerOptions& options);

  // Before the first step: memory for the largest one.
  Status Reserve(const StepMemory& memory);

  void Begin() override;
  StepOutcome Execute(const StepPlan& plan) override;
  std::string stage() const override;
  int64_t scratch_bytes() const override { return scratch_bytes_.load(std::memory_order_relaxed); }

 private:
  // `count` tokens of span `span` from its token `begin` on.
  struct Part {
    std::size_t span = 0;
    int32_t begin = 0;
    int32_t count = 0;
  };
  // The inputs of one pass. Kept between steps for its memory.
  struct Batch {
    std::vector<TokenId> tokens;
    std::vector<int32_t> positions, rope_lengths;
    std::vector<std::vector<ops::AttentionSequence>> sequences;  // per cache group of pages
    std::vector<std::vector<ops::StateSequence>> states;         // per cache group of states
    std::vector<std::vector<ops::StateSnapshot>> snapshots;      // what `states` borrow
    std::vector<int32_t> logit_rows;                             // samples first, then prompts
    std::vector<SampleTarget> samples;
    std::vector<PromptTarget> prompts;
    void Clear();
  };

  Status Run(const StepPlan& plan, StepOutcome& outcome);
  std::vector<std::vector<Part>> Passes(const StepPlan& plan) const;
  void Gather(const StepPlan& plan, const std::vector<Part>& parts, StepOutcome& outcome);
  void GatherCache(const Span& span, const Part& part, const RequestRow& row, int32_t q_begin);
  Status RunPass(const StepPlan& plan, const std::vector<Part>& parts, StepOutcome& outcome);
  StatusOr<Tensor> Logits(int64_t rows);

  ops::OpContext context_;
  std::shared_ptr<nn::Model> model_;
  nn::CachePools pools_;
  RequestRows rows_;
  const RunnerOptions options_;
  const int64_t max_logit_rows_;
  Batch batch_;
  Buffer logits_;
  std::atomic<const char*> stage_{"waiting"};  // null: where the model says
  std::atomic<int32_t> place_{0};              // in the model
  std::atomic<int64_t> scratch_bytes_{0};
};

}  // namespace banyan
