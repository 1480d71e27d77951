// SPDX-License-Identifier: Apache-2.0
// Mamba: the selective state space mixer of Mamba 1 (Gu and Dao 2023), with the norms that Jamba
// and Falcon Mamba add.
//
// Logical names of its weights, under NAME ("layers.3.mixer"):
//   NAME.in [2 * inner, hidden] (x, z), NAME.output [hidden, inner] (.weight, .bias)
//   NAME.conv (nn/causal_conv.h)   NAME.select.weight [dt_rank + 2 * state, inner] (dt, B, C)
//   NAME.dt (.weight [inner, dt_rank], .bias)   NAME.a [inner, state]: -exp(A_log)   NAME.d [inner]
//   NAME.{dt_norm,b_norm,c_norm}.weight
#pragma once

#include <optional>
#include <string>

#include "nn/block.h"
#include "nn/causal_conv.h"
#include "nn/norm.h"
#include "nn/recurrent_spec.h"

namespace banyan::nn {

class Mamba final : public Block {
 public:
  Mamba(Scope& scope, const std::string& name, const MambaSpec& spec, int hidden, int index);
  void Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const override;

 private:
  const MambaSpec spec_;
  const int index_;
  Linear in_, select_, dt_, output_;
  CausalConv conv_;
  std::optional<Norm> dt_norm_, b_norm_, c_norm_;
  Vector a_, d_;
  int group_ = 0;
};

}  // namespace banyan::nn
