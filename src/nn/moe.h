// SPDX-License-Identifier: Apache-2.0
// Moe: a mixture of experts as a layer's feed-forward network, with an expert beside them that all
// rows go through where the family has one.
//
// Logical names of its weights, under NAME ("layers.3.mlp"):
//   NAME.router (.weight [experts, hidden], .bias), NAME.correction.bias [experts]
//   NAME.experts.{e}.{gate,up,down} (.weight, .bias)
//   NAME.shared.{gate,up,down} (.weight, .bias), NAME.shared_gate.weight [1, hidden]
//   NAME.latent_in (.weight [latent, hidden], .bias), NAME.latent_out (.weight, .bias)
#pragma once

#include <optional>
#include <string>

#include "nn/block.h"
#include "nn/decoder_spec.h"
#include "nn/scope.h"

namespace banyan::nn {

// kInvalidArgument where the numbers of experts, groups and choices do not fit each other.
Status CheckMoe(const MoeSpec& spec);

class Moe final : public Block {
 public:
  Moe(Scope& scope, const std::string& name, const MoeSpec& spec, int hidden);
  void Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const override;

 private:
  // Networks of one shape, and the memory of their matrices.
  struct Experts {
    ops::ExpertMlp mlp;
    ExpertLinear gate, up, down;
  };
  Experts Declare(Scope& scope, std::span<const std::string> names, int intermediate, int hidden,
                  bool bias) const;

  const MoeSpec spec_;
  Linear router_, shared_gate_, latent_in_, latent_out_;
  Vector correction_;
  Experts routed_;
  std::optional<Experts> shared_;
};

}  // namespace banyan::nn
