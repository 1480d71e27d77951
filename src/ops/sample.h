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
  float temperature = 0.0f;  // below 1e-6: greedy
  int top_k = -1;            // 1: greedy; below 1: all
  float top_p = 1.0f;
  float min_p = 0.0f;
  uint64_t seed = 0;     // with `position` decides the draw, whatever else is in the batch
  int64_t position = 0;  // of the row's last input token in its sequence, as SGLang counts
};

// tokens[i] = the choice from logits[i] ([rows, vocab] f32). Ties go to the lowest id. A row that
// holds a NaN or +infinity, or nothing finite, yields -1.
//
// SGLang's rule of deterministic inference: probabilities softmax(logits / temperature), sorted;
// those after the first top_k go, then those before which the sum (of what top_k left, not
// renormalized) exceeds top_p, then those below min_p times the largest. Of the rest the one with
// the largest log(probability) + Gumbel noise is taken (Gumbel 1954), the noise made in f64 from
// u = hash / (2^32 - 1), hash = MurmurHash3_x86_32 of (seed low word, seed high word, position,
// column). The column is the token's id where nothing filters the row, else its rank.
void Sample(const OpContext& context, const Tensor& logits, std::span<const SampleRow> rows,
            std::span<int32_t> tokens);

// In place: logits[i] to log-softmax of logits[i] / temperature[i], in f32 with the sum in f64.
void LogSoftmax(const OpContext& context, const Tensor& logits,
                std::span<const float> temperatures);

// The n largest of one row, best first, ties to the lowest id.
std::vector<std::pair<float, int32_t>> TopN(std::span<const float> row, int n);

}  // namespace banyan::ops
