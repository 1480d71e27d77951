// SPDX-License-Identifier: Apache-2.0
// From logits to tokens and log-probabilities, row by row, in SGLang's order (run/sampler.h applies
// penalties and masks before).
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "ops/context.h"

namespace banyan::ops {

struct SampleRow {
  float temperature = 0.0f;  // 0: greedy
  int top_k = -1;
  float top_p = 1.0f;
  float min_p = 0.0f;
  uint64_t seed = 0;     // with `position` decides the draw, whatever else is in the batch
  int64_t position = 0;  // index of the token in its request's output
};

// tokens[i] = the choice from logits[i] ([rows, vocab] f32). Ties go to the lowest id. A row
// without a finite logit yields -1.
void Sample(const OpContext& context, const Tensor& logits, std::span<const SampleRow> rows,
            std::span<int32_t> tokens);

// In place: logits[i] to log-softmax of logits[i] / temperature[i], in f32 with the sum in f64.
void LogSoftmax(const OpContext& context, const Tensor& logits,
                std::span<const float> temperatures);

// The n largest of one row, best first, ties to the lowest id.
std::vector<std::pair<float, int32_t>> TopN(std::span<const float> row, int n);

}  // namespace banyan::ops
