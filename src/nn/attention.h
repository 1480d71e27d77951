// SPDX-License-Identifier: Apache-2.0
// Attention: multi-head attention over paged keys and values, from the stream to what it adds.
//
// Logical names of its weights, under NAME ("layers.3.attention"):
//   NAME.{q,k,v,output} (.weight [out, in], .bias)   NAME.{q_norm,k_norm} (.weight, .bias)
//   NAME.gate (.weight [heads * head_dim, in], .bias)   NAME.sinks.weight [heads]
//   NAME.output_norm.weight [heads * head_dim]   nn/differential.h's and nn/dynamic_mask.h's
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nn/block.h"
#include "nn/decoder_spec.h"
#include "nn/differential.h"
#include "nn/dynamic_mask.h"
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
  // Writes k and v to the cache and gathers what the queries see; [n, heads, head_dim].
  void Attend(const StepInputs& step, const Tensor& q, const Tensor& k, const Tensor& v,
              const Tensor& out) const;

  const AttentionSpec spec_;
  const LayerSpec layer_;
  const int index_;
  Linear qkv_, output_, gate_;
  Vector sinks_;
  std::optional<Norm> q_norm_, k_norm_, output_norm_;
  std::optional<Differential> differential_;
  std::optional<DynamicMask> mask_;
  int group_ = 0;                    // of the cache
  std::vector<float> alibi_slopes_;  // per head, or empty
};

}  // namespace banyan::nn
