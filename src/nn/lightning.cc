// SPDX-License-Identifier: Apache-2.0
#include "nn/lightning.h"

#include <cmath>

#include "ops/norm.h"
#include "ops/recurrence.h"

namespace banyan::nn {

Lightning::Lightning(Scope& scope, const std::string& name, const LightningSpec& spec, int hidden,
                     int index, int layers)
    : spec_(spec),
      index_(index),
      qkv_(scope.AddLinear({{name + ".qkv", int64_t{3} * spec.heads * spec.head_dim, Axis::kHeads}},
                           hidden, Axis::kHidden, false)),
      gate_(scope.AddLinear({{name + ".gate", spec.heads * spec.head_dim, Axis::kHeads}}, hidden,
                            Axis::kHidden, false)),
      output_(scope.AddLinear({{name + ".output", hidden, Axis::kHidden}},
                              spec.heads * spec.head_dim, Axis::kHeads, false)),
      norm_(scope.AddVector(name + ".norm.weight", {spec.heads * spec.head_dim}, Axis::kHeads)),
      group_(scope.AddState(index, {}, {spec.heads, spec.head_dim * spec.head_dim})) {
  // ALiBi's slopes, less the deeper the layer is; the small numbers keep the last one above 0.
  const double depth = 1.0 - index / (layers - 1 + 1e-5) + 1e-5;
  for (int head = 1; head <= spec.heads; ++head)
    decay_.push_back(static_cast<float>(std::exp(-std::exp2(-8.0 * head / spec.heads) * depth)));
}

void Lightning::Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const {
  const ops::OpContext& context = step.context;
  const ops::ScratchScope scope(context.scratch);
  const auto rows_of = [&](int64_t dim) {
    return context.scratch->Get(DType::kF32, {step.rows(), dim});
  };
  const int64_t heads = spec_.heads, dim = spec_.head_dim;
  const Tensor qkv = rows_of(qkv_.rows()), y = rows_of(heads * dim), gate = rows_of(heads * dim);
  qkv_.Forward(context, in, qkv);
  ops::Activate(context, spec_.activation, qkv, qkv);
  const auto part = [&](int64_t i) {
    return Tensor(qkv.data<float>() + i * dim, DType::kF32, {step.rows(), heads, dim},
                  {qkv.stride(0), 3 * dim, 1});
  };
  const ops::RecurrenceInputs inputs = {
      .q = part(0),
      .k = part(1),
      .v = part(2),
      .decay = Tensor(const_cast<float*>(decay_.data()), DType::kF32, {step.rows(), heads}, {0, 1}),
  };
  ops::LinearRecurrence(context, inputs, step.batch.states[group_],
                        step.batch.pools[group_].layers[index_].state,
                        y.Reshape({step.rows(), heads, dim}));
  ops::RmsNorm(context, y, norm_.tensor, spec_.norm_eps, y);
  gate_.Forward(context, in, gate);
  ops::ActivateAndMul(context, ops::Activation::kSigmoid, gate, y, y);
  output_.Forward(context, y, out);
}

}  // namespace banyan::nn
