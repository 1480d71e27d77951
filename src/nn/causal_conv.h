// SPDX-License-Identifier: Apache-2.0
// CausalConv: ops/conv.h with its weights: NAME.weight [channels, kernel], NAME.bias [channels].
#pragma once

#include <string>
#include <vector>

#include "nn/scope.h"
#include "ops/conv.h"

namespace banyan::nn {

class CausalConv {
 public:
  // `parts`: rows of NAME.q.weight, NAME.k.weight and NAME.v.weight where it is stacked from them.
  CausalConv(Scope& scope, const std::string& name, int channels, int kernel, bool bias, bool silu,
             const std::vector<int>& parts = {});
  void Forward(const ops::OpContext& context, std::span<const ops::StateSequence> sequences,
               const Tensor& x, const Tensor& state, const Tensor& out) const;
  // What it needs of the cache.
  Scope::StateSize state_size() const { return {kernel_ - 1, channels_}; }

 private:
  int channels_, kernel_;
  bool silu_;
  std::vector<float> weight_;  // [kernel, channels], as the op has it
  Vector bias_;
};

}  // namespace banyan::nn
