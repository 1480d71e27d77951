// SPDX-License-Identifier: Apache-2.0
// Mixtures of experts, portable, and what drivers with kernels of their own share of it.
#pragma once

#include <span>
#include <vector>

#include "ops/moe.h"

namespace banyan::ops::reference {

// Which rows go through which expert: pairs of a row and a slot, sorted by expert, then row.
struct ExpertRows {
  struct Segment {
    int32_t expert = 0;
    int64_t begin = 0;  // pairs [begin, begin + count)
    int64_t count = 0;
  };
  std::vector<Segment> segments;  // of the experts that have rows, ascending
  std::vector<int32_t> row;       // per pair
  std::vector<int32_t> pair;      // per row * k + slot
};
ExpertRows GroupByExpert(std::span<const int32_t> ids, int64_t k, int64_t experts);

// Hidden rows [begin, end) at `out` [dim apart] from the products at `up`: gate, then up, of each
// row, or up alone.
void ActivateExpert(const OpTable& table, const ExpertMlp& mlp, float* up, float* out,
                    int64_t begin, int64_t end);

// The call's sums: `results` [n * k, dim] per pair, `shared` [n, dim] or null.
void CombineSlots(const OpContext& context, const ExpertsCall& call, std::span<const int32_t> pair,
                  const float* results, const float* shared);

}  // namespace banyan::ops::reference
