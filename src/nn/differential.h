// SPDX-License-Identifier: Apache-2.0
// Differential attention (Ye et al. 2024, as DiffLlama has it): two softmax maps over the same
// positions, the second subtracted from the first.
//
//   map 1: query heads [0, heads / 2) on kv heads [0, kv_heads / 2); map 2: the other halves.
//   Both see the values of kv heads p and p + kv_heads / 2 side by side, pair by pair.
//   out = (1 - start) * norm(map 1 - lambda * map 2), each of heads / 2 rows of 2 * head_dim by
//   itself, without a weight; lambda = exp(q1 . k1) - exp(q2 . k2) + start,
//   start = 0.8 - 0.6 * exp(-0.3 * layer).
//
// The cache keeps the values of a pair side by side, in the bytes that they take anyway.
//
// Logical names of its weights, under NAME ("layers.3.attention"): NAME.lambda_{q1,k1,q2,k2}
// [head_dim].
#pragma once

#include <string>

#include "nn/decoder_spec.h"
#include "nn/scope.h"
#include "ops/attention.h"

namespace banyan::nn {

class Differential {
 public:
  // Of layer number `index`; both numbers of heads are even.
  Differential(Scope& scope, const std::string& name, const AttentionSpec& spec, int index);
  // q, k, v and out as in ops::Attention; k and v are written to the cache first. `params` has
  // nothing per head.
  void Attend(const ops::OpContext& context, const ops::AttentionPlan& plan,
              const ops::AttentionParams& params, const ops::PagedKv& cache, const Tensor& q,
              const Tensor& k, const Tensor& v, const Tensor& out) const;

 private:
  const float eps_;
  float start_ = 0.0f, lambda_ = 0.0f;
};

}  // namespace banyan::nn
