// SPDX-License-Identifier: Apache-2.0
#include "nn/retrieval.h"

#include "ops/retrieval.h"

namespace banyan::nn {

Retrieval::Retrieval(Scope& scope, const std::string& name, const MlpSpec& mlp,
                     const RetrievalSpec& spec, int hidden)
    : spec_(spec),
      activation_(mlp.activation),
      mlp_(scope, name, mlp, hidden, std::nullopt),
      router_(scope.AddRouter({name + ".router", 2 * spec.keys, Axis::kNone}, hidden, false)),
      down_(scope.AddTable(name + ".units_down.weight", spec.experts, hidden, Axis::kNone)),
      up_(scope.AddTable(name + ".units_up.weight", spec.experts, hidden, Axis::kNone)) {}

void Retrieval::Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const {
  const ops::OpContext& context = step.context;
  const ops::ScratchScope scope(context.scratch);
  const Tensor logits = context.scratch->Get(DType::kF32, {in.dim(0), router_.rows()});
  router_.Forward(context, in, logits);
  mlp_.Forward(step, in, out);
  ops::RetrieveExperts(context, {.x = in,
                                 .logits = logits,
                                 .top_k = spec_.top_k,
                                 .activation = activation_,
                                 .down = down_.tensor,
                                 .up = up_.tensor,
                                 .out = out});
}

}  // namespace banyan::nn
