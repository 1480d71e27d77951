// SPDX-License-Identifier: Apache-2.0
#include "nn/gated_delta.h"

#include <cmath>

#include "ops/norm.h"
#include "ops/recurrence.h"

namespace banyan::nn {
namespace {

constexpr float kL2Eps = 1e-6f;

// x / sqrt(sum + eps) = x / sqrt(mean + eps / dim) * weight, with weight 1 / sqrt(dim) times scale.
void L2Norm(const ops::OpContext& context, const Tensor& x, const std::vector<float>& weight) {
  const auto dim = static_cast<int64_t>(weight.size());
  ops::RmsNorm(context, x, Tensor(const_cast<float*>(weight.data()), DType::kF32, {dim}),
               kL2Eps / static_cast<float>(dim), x);
}

}  // namespace

GatedDelta::GatedDelta(Scope& scope, const std::string& name, const GatedDeltaSpec& spec,
                       int hidden, int index)
    : spec_(spec),
      index_(index),
      in_(scope.AddLinear({{name + ".q", spec.key_heads * spec.key_dim, Axis::kKvHeads},
                           {name + ".k", spec.key_heads * spec.key_dim, Axis::kKvHeads},
                           {name + ".v", spec.value_heads * spec.value_dim, Axis::kHeads},
                           {name + ".z", spec.value_heads * spec.value_dim, Axis::kHeads},
                           {name + ".b", spec.value_heads, Axis::kHeads},
                           {name + ".a", spec.value_heads, Axis::kHeads}},
                          hidden, Axis::kHidden, false)),
      output_(scope.AddLinear({{name + ".output", hidden, Axis::kHidden}},
                              spec.value_heads * spec.value_dim, Axis::kHeads, false)),
      conv_(scope, name + ".conv", spec.conv_dim(), spec.kernel, false, true, spec.conv_parts),
      rate_(scope.AddVector(name + ".rate", {spec.value_heads}, Axis::kHeads)),
      dt_bias_(scope.AddVector(name + ".dt_bias", {spec.value_heads}, Axis::kHeads)),
      norm_(scope.AddVector(name + ".norm.weight", {spec.value_dim}, Axis::kNone)),
      q_scale_(spec.key_dim, 1.0f / static_cast<float>(spec.key_dim)),
      k_scale_(spec.key_dim, 1.0f / std::sqrt(static_cast<float>(spec.key_dim))),
      group_(scope.AddState(index, conv_.state_size(),
                            {spec.value_heads, spec.key_dim * spec.value_dim})) {}

void GatedDelta::Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const {
  const ops::OpContext& context = step.context;
  const ops::ScratchScope scope(context.scratch);
  const auto rows_of = [&](int64_t dim) {
    return context.scratch->Get(DType::kF32, {step.rows(), dim});
  };
  const int64_t keys = int64_t{spec_.key_heads} * spec_.key_dim;
  const int64_t values = int64_t{spec_.value_heads} * spec_.value_dim, heads = spec_.value_heads;
  const Tensor projected = rows_of(in_.rows()), mixed = rows_of(spec_.conv_dim());
  const Tensor decay = rows_of(heads), flat = rows_of(values);
  const LayerCache& cache = step.batch.pools[group_].layers[index_];
  const std::span<const ops::StateSequence> sequences = step.batch.states[group_];

  in_.Forward(context, in, projected);
  conv_.Forward(context, sequences, projected.Slice(1, 0, spec_.conv_dim()), cache.conv, mixed);
  const Tensor q = ByHeads(mixed.Slice(1, 0, keys), spec_.key_heads);
  const Tensor k = ByHeads(mixed.Slice(1, keys, 2 * keys), spec_.key_heads);
  L2Norm(context, q, q_scale_);
  L2Norm(context, k, k_scale_);

  const int64_t z_begin = spec_.conv_dim(), b_begin = z_begin + values, a_begin = b_begin + heads;
  const Tensor beta = projected.Slice(1, b_begin, a_begin);
  const Tensor a = projected.Slice(1, a_begin, a_begin + heads);
  ops::Activate(context, ops::Activation::kSigmoid, beta, beta);
  if (spec_.beta_scale != 1.0f) ops::Scale(context, beta, spec_.beta_scale, beta);
  ops::StepAndDecay(context, a, dt_bias_.tensor, rate_.tensor, 0.0f, INFINITY, a, decay);

  const Tensor y = ByHeads(flat, heads);
  const ops::RecurrenceInputs inputs = {
      .q = q,
      .k = k,
      .v = ByHeads(mixed.Slice(1, 2 * keys, 2 * keys + values), heads),
      .decay = decay,
      .beta = beta,
      .delta = true,
      .keys_in_turn = spec_.keys_in_turn};
  ops::LinearRecurrence(context, inputs, sequences, cache.state, y);
  ops::RmsNorm(context, y, norm_.tensor, spec_.norm_eps, y);
  const Tensor z = projected.Slice(1, z_begin, b_begin);
  ops::ActivateAndMul(context, ops::Activation::kSilu, z, flat, flat);
  output_.Forward(context, flat, out);
}

}  // namespace banyan::nn
