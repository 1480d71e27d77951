// SPDX-License-Identifier: Apache-2.0
// Mamba2: the state space mixer of Mamba 2 (Dao and Gu 2024): one decay per head, B and C shared by
// groups of heads, a gated norm before the projection out.
//
// Logical names of its weights, under NAME ("layers.3.mixer"):
//   NAME.in [2 * inner + 2 * groups * state + heads, hidden] (z, x, B, C, dt) (.weight, .bias)
//   NAME.conv (nn/causal_conv.h), over x, B and C   NAME.{a,d,dt_bias} [heads], a = -exp(A_log)
//   NAME.norm.weight [inner]   NAME.output [hidden, inner] (.weight, .bias)
#pragma once

#include <string>

#include "nn/block.h"
#include "nn/causal_conv.h"
#include "nn/recurrent_spec.h"

namespace banyan::nn {

class Mamba2 final : public Block {
 public:
  Mamba2(Scope& scope, const std::string& name, const Mamba2Spec& spec, int hidden, int index);
  void Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const override;

 private:
  // y = norm and gate of y, as the spec orders them.
  void Gate(const ops::OpContext& context, const Tensor& z, const Tensor& y) const;

  const Mamba2Spec spec_;
  const int index_;
  Linear in_, output_;
  CausalConv conv_;
  Vector a_, d_, dt_bias_, norm_;
  int group_ = 0;
};

}  // namespace banyan::nn
