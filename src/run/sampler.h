// SPDX-License-Identifier: Apache-2.0
// From the logits of a step to its tokens and log-probabilities, in SGLang's order:
//
//   f32 logits -> frequency and presence penalties, min_new_tokens, repetition penalty ->
//   logit_bias -> greedy, or temperature, top-k, top-p, min-p and a draw (ops/sample.h).
//
// Output log-probabilities are those after penalties, bias and temperature (1 for greedy), before
// top-k, top-p and min-p; prompt log-probabilities are of the unscaled logits. What a request gets
// depends on its own row alone. A row whose logits are not finite ends with an error of its own.
// Work is O(vocabulary) only where a row asks for more than an argmax or a draw.
#pragma once

#include <span>

#include "ops/context.h"
#include "run/request_rows.h"
#include "sched/plan.h"

namespace banyan {

// One row of logits from which a token is wanted, with where the answer goes.
struct SampleTarget {
  RequestRow* row = nullptr;
  RowOutcome* outcome = nullptr;
};

// Takes one token per target, from the row of `logits` ([targets, vocab] f32, overwritten) of the
// same index, and accepts it into its RequestRow. The targets that want log-probabilities come
// first. `original_logprobs`: output log-probabilities before the temperature.
void SampleRows(const ops::OpContext& context, const Tensor& logits,
                std::span<const SampleTarget> targets, bool original_logprobs);

// One prompt position whose log-probabilities are wanted.
struct PromptTarget {
  RequestRow* row = nullptr;
  RowOutcome* outcome = nullptr;
  TokenId token = 0;  // the one that follows
};

// Appends one entry per target to its outcome; logits as above.
void ScorePrompt(const ops::OpContext& context, const Tensor& logits,
                 std::span<const PromptTarget> targets);

}  // namespace banyan
