// SPDX-License-Identifier: Apache-2.0
// Lightning: lightning attention as a mixer (Qin et al. 2024; MiniMax-01): linear attention with
// one fixed decay per head, weaker in deeper layers.
//
// transformers saves tables of the decays, rounded to the checkpoint's type, and computes with
// them; that is a difference of 1e-3 in a logprob. Where products are f32 they are used as saved
// (ops/lightning.h), else decays are exact and a state is all that is kept (ops/recurrence.h).
//
// Logical names of its weights, under NAME ("layers.3.mixer"):
//   NAME.qkv.weight [heads * 3 * head_dim, hidden]: q, k, v of head 0, then of head 1, ...
//   NAME.norm.weight [heads * head_dim]   NAME.gate.weight [heads * head_dim, hidden]
//   NAME.output.weight [hidden, heads * head_dim]
//   NAME.slope [heads], NAME.{query_decay,key_decay} [heads, block], NAME.diagonal_decay [heads,
//   block, block], or none of them
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nn/block.h"
#include "nn/recurrent_spec.h"
#include "nn/scope.h"
#include "ops/lightning.h"

namespace banyan::nn {

class Lightning final : public Block {
 public:
  // `index` of `layers`: sets the decays.
  Lightning(Scope& scope, const std::string& name, const LightningSpec& spec, int hidden, int index,
            int layers);
  void Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const override;

 private:
  // Tables as saved.
  struct Saved {
    Vector query, key;
    std::vector<float> distance, whole;
    int group = 0;  // of keys and values, of one block at a time
    ops::LightningDecays decays() const;
  };
  void TakeSaved(Scope& scope, const std::string& name);

  const LightningSpec spec_;
  const int index_;
  Linear qkv_, gate_, output_;
  Vector norm_;
  std::vector<float> decay_;      // per head
  std::unique_ptr<Saved> saved_;  // null: none are, or they are not to be used
  int group_ = 0;
};

}  // namespace banyan::nn
