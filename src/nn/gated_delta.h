// SPDX-License-Identifier: Apache-2.0
// GatedDelta: the gated delta rule as a mixer (Yang et al. 2024; Qwen3-Next): a state per value
// head that decays, forgets what it holds for a key and takes the key's new value.
//
// Logical names of its weights, under NAME ("layers.3.mixer"):
//   NAME.{q,k,v,z,b,a}.weight [rows, hidden]: queries, keys, values, gate, beta, decay
//   NAME.conv (nn/causal_conv.h), over q, k and v   NAME.{rate,dt_bias} [value_heads], rate
//   = -exp(A_log)   NAME.norm.weight [value_dim]   NAME.output.weight [hidden, value_heads *
//   value_dim]
#pragma once

#include <string>

#include "nn/block.h"
#include "nn/causal_conv.h"
#include "nn/recurrent_spec.h"

namespace banyan::nn {

class GatedDelta final : public Block {
 public:
  GatedDelta(Scope& scope, const std::string& name, const GatedDeltaSpec& spec, int hidden,
             int index);
  void Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const override;

 private:
  const GatedDeltaSpec spec_;
  const int index_;
  Linear in_, output_;
  CausalConv conv_;
  Vector rate_, dt_bias_, norm_;
  std::vector<float> q_scale_, k_scale_;  // [key_dim]: what makes an RMS norm an L2 norm, scaled
  int group_ = 0;
};

}  // namespace banyan::nn
