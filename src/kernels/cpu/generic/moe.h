// SPDX-License-Identifier: Apache-2.0
// The sum of a row's experts over a level's Vec.
#pragma once

#include "kernels/cpu/generic/rows.h"

namespace banyan::kernels {

template <class V>
struct Moe {
  using F = typename V::F;

  static void Combine(const float* const* rows, const float* weights, int64_t slots, int64_t dim,
                      float* out) {
    int64_t i = 0;
    for (; i + V::kLanes <= dim; i += V::kLanes) {
      F sum = V::Zero();
      for (int64_t s = 0; s < slots; ++s)
        sum = V::Fma(V::Set(weights[s]), V::Load(rows[s] + i), sum);
      V::Store(out + i, sum);
    }
    if (i == dim) return;
    F sum = V::Zero();
    for (int64_t s = 0; s < slots; ++s)
      sum = V::Fma(V::Set(weights[s]), V::LoadN(rows[s] + i, dim - i), sum);
    V::StoreN(out + i, sum, dim - i);
  }
};

}  // namespace banyan::kernels
