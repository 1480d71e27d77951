// SPDX-License-Identifier: Apache-2.0
#include "nn/mamba2.h"

#include "ops/norm.h"
#include "ops/recurrence.h"

namespace banyan::nn {

Mamba2::Mamba2(Scope& scope, const std::string& name, const Mamba2Spec& spec, int hidden, int index)
    : spec_(spec),
      index_(index),
      in_(scope.AddLinear(
          {{name + ".in", spec.inner() + spec.conv_dim() + spec.heads, Axis::kIntermediate}},
          hidden, Axis::kHidden, spec.in_bias)),
      output_(scope.AddLinear({{name + ".output", hidden, Axis::kHidden}}, spec.inner(),
                              Axis::kIntermediate, spec.output_bias)),
      conv_(scope, name + ".conv", spec.conv_dim(), spec.kernel, spec.conv_bias, true),
      a_(scope.AddVector(name + ".a", {spec.heads}, Axis::kHeads)),
      d_(scope.AddVector(name + ".d", {spec.heads}, Axis::kHeads)),
      dt_bias_(scope.AddVector(name + ".dt_bias", {spec.heads}, Axis::kHeads)),
      group_(scope.AddState(index, conv_.state_size(), {spec.heads, spec.state * spec.head_dim})) {
  if (spec.norm != Mamba2Spec::Norm::kNone) {
    const Shape groups = {spec.norm_groups, spec.inner() / spec.norm_groups};
    norm_ =
        scope.AddVector(name + ".norm.weight", spec.norm_by_groups ? groups : Shape{spec.inner()},
                        Axis::kIntermediate);
    if (!norm_.tensor.empty()) norm_.tensor = norm_.tensor.Reshape(groups);
  }
}

void Mamba2::Gate(const ops::OpContext& context, const Tensor& z, const Tensor& y) const {
  const auto gate = [&] { ops::ActivateAndMul(context, ops::Activation::kSilu, z, y, y); };
  const auto norm = [&] {
    const Tensor groups = ByHeads(y, spec_.norm_groups);
    ops::RmsNorm(context, groups, norm_.tensor, spec_.norm_eps, groups);
  };
  if (spec_.norm == Mamba2Spec::Norm::kBeforeGate) norm();
  gate();
  if (spec_.norm == Mamba2Spec::Norm::kAfterGate) norm();
}

void Mamba2::Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const {
  const ops::OpContext& context = step.context;
  const ops::ScratchScope scope(context.scratch);
  const auto rows_of = [&](int64_t dim) {
    return context.scratch->Get(DType::kF32, {step.rows(), dim});
  };
  const int64_t inner = spec_.inner(), shared = int64_t{spec_.groups} * spec_.state;
  const Tensor projected = rows_of(in_.rows()), mixed = rows_of(spec_.conv_dim());
  const Tensor decay = rows_of(spec_.heads), y = rows_of(inner);
  const LayerCache& cache = step.batch.pools[group_].layers[index_];
  const std::span<const ops::StateSequence> sequences = step.batch.states[group_];

  Tensor scaled = in;
  if (spec_.input_scale != 1.0f) {
    scaled = rows_of(in.dim(1));
    ops::Scale(context, in, spec_.input_scale, scaled);
  }
  in_.Forward(context, scaled, projected);
  const int64_t widths[] = {inner, inner, shared, shared, spec_.heads};
  int64_t begin = 0;
  for (int i = 0; i < 5; begin += widths[i++]) {
    const Tensor part = projected.Slice(1, begin, begin + widths[i]);
    if (spec_.scales[i] != 1.0f) ops::Scale(context, part, spec_.scales[i], part);
  }
  conv_.Forward(context, sequences, projected.Slice(1, inner, inner + spec_.conv_dim()), cache.conv,
                mixed);
  const Tensor dt = projected.Slice(1, inner + spec_.conv_dim(), in_.rows());
  ops::StepAndDecay(context, dt, dt_bias_.tensor, a_.tensor, spec_.dt_min, spec_.dt_max, dt, decay);

  const ops::RecurrenceInputs inputs = {
      .q = ByHeads(mixed.Slice(1, inner + shared, inner + 2 * shared), spec_.groups),
      .k = ByHeads(mixed.Slice(1, inner, inner + shared), spec_.groups),
      .v = ByHeads(mixed.Slice(1, 0, inner), spec_.heads),
      .decay = decay,
      .beta = dt,
      .skip = d_.tensor,
  };
  ops::LinearRecurrence(context, inputs, sequences, cache.state, ByHeads(y, spec_.heads));
  Gate(context, projected.Slice(1, 0, inner), y);
  output_.Forward(context, y, out);
}

}  // namespace banyan::nn
