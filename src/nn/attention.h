// SPDX-License-Identifier: Apache-2.0
// Attention: multi-head attention over paged keys and values, from the stream to what it adds.
//
// Logical names of its weights, under NAME ("layers.3.attention"):
//   NAME.{q,k,v,output} (.weight [out, in], .bias)   NAME.{q_norm,k_norm} (.weight, .bias)
//   NAME.gate.weight [heads * head_dim, in]   NAME.sinks.weight [heads]
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nn/block.h"
#include "nn/decoder_spec.h"
#include "nn/norm.h"
#include "nn/scope.h"

namespace banyan::nn {

class Attention final : public Block {
 public:
  // `index`: the number of the layer, by which the cache knows it.
  Attention(Scope& scope, const std::string& name, const AttentionSpec& spec,
            const LayerSpec& layer, int hidden, int index);
  void Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const override;

 private:
  const AttentionSpec spec_;
  const LayerSpec layer_;
  const int index_;
  Linear qkv_, output_, gate_;
  Vector sinks_;
  std::optional<Norm> q_norm_, k_norm_;
  int group_ = 0;                    // of the cache
  std::vector<float> alibi_slopes_;  // per head, or empty
};

}  // namespace banyan::nn
