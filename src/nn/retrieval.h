// SPDX-License-Identifier: Apache-2.0
// Retrieval: a dense feed-forward network beside many experts of one hidden unit each, of which a
// row finds its own by product keys (ops/retrieval.h; Doge's cross domain mixture of experts).
//
// Logical names of its weights, under NAME ("layers.3.mlp"), beside those of nn/mlp.h:
//   NAME.router.weight [2 * keys, hidden]   NAME.units_{down,up}.weight [experts, hidden]
#pragma once

#include <string>

#include "nn/block.h"
#include "nn/decoder_spec.h"
#include "nn/mlp.h"
#include "nn/scope.h"

namespace banyan::nn {

class Retrieval final : public Block {
 public:
  Retrieval(Scope& scope, const std::string& name, const MlpSpec& mlp, const RetrievalSpec& spec,
            int hidden);
  void Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const override;

 private:
  const RetrievalSpec spec_;
  const ops::Activation activation_;
  const Mlp mlp_;
  Linear router_;
  Table down_, up_;
};

}  // namespace banyan::nn
