// SPDX-License-Identifier: Apache-2.0
#include "nn/mamba.h"

#include "ops/scan.h"

namespace banyan::nn {

Mamba::Mamba(Scope& scope, const std::string& name, const MambaSpec& spec, int hidden, int index)
    : spec_(spec),
      index_(index),
      in_(scope.AddLinear({{name + ".in", 2 * spec.inner, Axis::kIntermediate}}, hidden,
                          Axis::kHidden, spec.bias)),
      select_(scope.AddLinear({{name + ".select", spec.dt_rank + 2 * spec.state, Axis::kNone}},
                              spec.inner, Axis::kIntermediate, false)),
      dt_(scope.AddLinear({{name + ".dt", spec.inner, Axis::kIntermediate}}, spec.dt_rank,
                          Axis::kNone, true)),
      output_(scope.AddLinear({{name + ".output", hidden, Axis::kHidden}}, spec.inner,
                              Axis::kIntermediate, spec.bias)),
      conv_(scope, name + ".conv", spec.inner, spec.kernel, spec.conv_bias, true),
      a_(scope.AddVector(name + ".a", {spec.inner, spec.state}, Axis::kIntermediate)),
      d_(scope.AddVector(name + ".d", {spec.inner}, Axis::kIntermediate)),
      group_(scope.AddState(index, conv_.state_size(), {spec.inner, spec.state})) {
  if (!spec.norms) return;
  const NormSpec norm = {.eps = spec.norm_eps, .weight = spec.norm_weights};
  dt_norm_.emplace(scope, name + ".dt_norm", norm, Shape{spec.dt_rank}, Axis::kNone);
  b_norm_.emplace(scope, name + ".b_norm", norm, Shape{spec.state}, Axis::kNone);
  c_norm_.emplace(scope, name + ".c_norm", norm, Shape{spec.state}, Axis::kNone);
}

void Mamba::Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const {
  const ops::OpContext& context = step.context;
  const ops::ScratchScope scope(context.scratch);
  const auto rows_of = [&](int64_t dim) {
    return context.scratch->Get(DType::kF32, {step.rows(), dim});
  };
  const Tensor projected = rows_of(int64_t{2} * spec_.inner);
  const Tensor x = rows_of(spec_.inner), raw_dt = rows_of(spec_.inner);
  const Tensor selected = rows_of(select_.rows());
  const LayerCache& cache = step.batch.pools[group_].layers[index_];
  const std::span<const ops::StateSequence> sequences = step.batch.states[group_];

  in_.Forward(context, in, projected);
  conv_.Forward(context, sequences, projected.Slice(1, 0, spec_.inner), cache.conv, x);
  select_.Forward(context, x, selected);
  const int64_t b_begin = spec_.dt_rank, c_begin = b_begin + spec_.state;
  const Tensor rank = selected.Slice(1, 0, b_begin);
  const Tensor b = selected.Slice(1, b_begin, c_begin);
  const Tensor c = selected.Slice(1, c_begin, c_begin + spec_.state);
  if (dt_norm_) {
    dt_norm_->Forward(context, rank, rank);
    b_norm_->Forward(context, b, b);
    c_norm_->Forward(context, c, c);
  }
  dt_.Forward(context, rank, raw_dt);
  const Tensor z = projected.Slice(1, spec_.inner, 2 * spec_.inner);
  ops::SelectiveScan(context, {x, raw_dt, b, c, z, a_.tensor, d_.tensor}, sequences, cache.state,
                     x);
  output_.Forward(context, x, out);
}

}  // namespace banyan::nn
