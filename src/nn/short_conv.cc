// SPDX-License-Identifier: Apache-2.0
#include "nn/short_conv.h"

namespace banyan::nn {

ShortConv::ShortConv(Scope& scope, const std::string& name, const ShortConvSpec& spec, int hidden,
                     int index)
    : hidden_(hidden),
      index_(index),
      in_(scope.AddLinear({{name + ".in", 3 * hidden, Axis::kIntermediate}}, hidden, Axis::kHidden,
                          spec.bias)),
      output_(scope.AddLinear({{name + ".output", hidden, Axis::kHidden}}, hidden,
                              Axis::kIntermediate, spec.bias)),
      conv_(scope, name + ".conv", hidden, spec.kernel, spec.bias, false),
      group_(scope.AddState(index, conv_.state_size(), {})) {}

void ShortConv::Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const {
  const ops::OpContext& context = step.context;
  const ops::ScratchScope scope(context.scratch);
  const Tensor projected = context.scratch->Get(DType::kF32, {step.rows(), int64_t{3} * hidden_});
  const Tensor mixed = context.scratch->Get(DType::kF32, {step.rows(), int64_t{hidden_}});
  in_.Forward(context, in, projected);
  const Tensor b = projected.Slice(1, 0, hidden_);
  const Tensor c = projected.Slice(1, hidden_, 2 * hidden_);
  const Tensor x = projected.Slice(1, 2 * hidden_, 3 * hidden_);
  ops::Mul(context, b, x, x);
  conv_.Forward(context, step.batch.states[group_], x, step.batch.pools[group_].layers[index_].conv,
                mixed);
  ops::Mul(context, c, mixed, mixed);
  output_.Forward(context, mixed, out);
}

}  // namespace banyan::nn
