// SPDX-License-Identifier: Apache-2.0
// Lightning: lightning attention as a mixer (Qin et al. 2024; MiniMax-01): linear attention with
// one fixed decay per head, weaker in deeper layers.
//
// Logical names of its weights, under NAME ("layers.3.mixer"):
//   NAME.qkv.weight [heads * 3 * head_dim, hidden]: q, k, v of head 0, then of head 1, ...
//   NAME.norm.weight [heads * head_dim]   NAME.gate.weight [heads * head_dim, hidden]
//   NAME.output.weight [hidden, heads * head_dim]
#pragma once

#include <string>

#include "nn/block.h"
#include "nn/recurrent_spec.h"
#include "nn/scope.h"

namespace banyan::nn {

class Lightning final : public Block {
 public:
  // `index` of `layers`: sets the decays.
  Lightning(Scope& scope, const std::string& name, const LightningSpec& spec, int hidden, int index,
            int layers);
  void Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const override;

 private:
  const LightningSpec spec_;
  const int index_;
  Linear qkv_, gate_, output_;
  Vector norm_;
  std::vector<float> decay_;  // per head
  int group_ = 0;
};

}  // namespace banyan::nn
