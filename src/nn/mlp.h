// SPDX-License-Identifier: Apache-2.0
// Mlp: the dense feed-forward network: down(act(gate(x)) * up(x)), or down(act(up(x))).
//
// Logical names of its weights, under NAME ("layers.3.mlp"):
//   NAME.{gate,up,down} (.weight, .bias)   NAME.norm.weight [intermediate]
//   NAME.{alpha_p,alpha_n,beta,eps}: xIELU's scalars, as checkpoints store them
#pragma once

#include <array>
#include <optional>
#include <string>

#include "nn/block.h"
#include "nn/decoder_spec.h"
#include "nn/norm.h"
#include "nn/scope.h"

namespace banyan::nn {

class Mlp final : public Block {
 public:
  // `xielu`: alpha_p, alpha_n, beta and eps where the checkpoint has no tensors of them.
  Mlp(Scope& scope, const std::string& name, const MlpSpec& spec, int hidden,
      const std::optional<std::array<float, 4>>& xielu);
  void Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const override;

 private:
  const MlpSpec spec_;
  Linear up_, down_;  // `up_` stacks gate and up where it is gated
  std::optional<Norm> norm_;
  std::array<float, 4> xielu_ = {};  // alpha_p, alpha_n, beta, eps
};

}  // namespace banyan::nn
