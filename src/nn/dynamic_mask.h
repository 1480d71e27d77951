// SPDX-License-Identifier: Apache-2.0
// A dynamic mask over attention (Doge): what a position holds decides how much it is seen.
//
//   weight of a position, per kv head: exp(a * softplus(dt(its values of all kv heads)))
//   logit = scale * q . k + weight, and a query sees the `most` positions alone whose weights are
//   highest, each kv head its own (of equal ones the lower position).
//
// A weight stands behind its key in the cache, as a sum of bf16 elements, so that it chooses the
// same in a cache of f32 or bf16 (of f16: as long as weights lie between 1e-3 and 65504); the
// queries have the inverse scale there, and the product of both is the logit. Keys are padded to a
// multiple of 8.
//
// Logical names of its weights, under NAME ("layers.3.attention"): NAME.mask_dt (.weight [kv_heads,
// kv_heads * head_dim], .bias)   NAME.mask_rate [kv_heads]
#pragma once

#include <string>
#include <vector>

#include "nn/block.h"
#include "nn/decoder_spec.h"
#include "nn/scope.h"
#include "ops/split.h"

namespace banyan::nn {

class DynamicMask {
 public:
  // `scale`: of the products.
  DynamicMask(Scope& scope, const std::string& name, const AttentionSpec& spec, float scale);
  static int KeyDim(int head_dim) { return (head_dim + ops::kSplitParts + 7) / 8 * 8; }

  // q, k, v and out as in ops::Attention, but for the keys' padding; k and v are written to the
  // cache of `group` first. A window in `params` is at most `most`, and nothing in it per head.
  void Attend(const StepInputs& step, int group, const ops::AttentionParams& params,
              const ops::PagedKv& cache, const Tensor& q, const Tensor& k, const Tensor& v,
              const Tensor& out) const;

 private:
  void Choose(const StepInputs& step, int group, ops::AttentionParams params,
              const ops::PagedKv& cache, const Tensor& q, const Tensor& out) const;

  const int most_;
  Linear dt_;
  Vector rate_;
  std::vector<float> zeros_;       // one per kv head, and the padding of a key
  std::vector<float> query_tail_;  // of a query: what the weight is multiplied by, then zeros
};

}  // namespace banyan::nn
