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
  if (scope.compute() == DType::kF32 && scope.Has(name + ".diagonal_decay")) TakeSaved(scope, name);
}

void Lightning::TakeSaved(Scope& scope, const std::string& name) {
  const int64_t heads = spec_.heads, block = spec_.block;
  saved_ = std::make_unique<Saved>();
  Saved& saved = *saved_;
  const Vector slope = scope.AddVector(name + ".slope", {heads}, Axis::kHeads);
  saved.query = scope.AddVector(name + ".query_decay", {heads, block}, Axis::kHeads);
  saved.key = scope.AddVector(name + ".key_decay", {heads, block}, Axis::kHeads);
  const Vector diagonal =
      scope.AddVector(name + ".diagonal_decay", {heads, block, block}, Axis::kHeads);
  saved.group =
      scope.AddKv(index_, spec_.heads, spec_.head_dim, spec_.head_dim, {.chunk = spec_.block});
  if (!scope.status().ok()) return;
  for (int64_t head = 0; head < heads; ++head) {
    saved.whole.push_back(std::exp(-slope.tensor.data<float>()[head] * static_cast<float>(block)));
    for (int64_t i = 0; i < block; ++i)  // to the first key: a matter of the distance alone
      saved.distance.push_back(diagonal.tensor.data<float>()[(head * block + i) * block]);
  }
}

ops::LightningDecays Lightning::Saved::decays() const {
  const auto heads = static_cast<int64_t>(whole.size());
  const auto view = [](const std::vector<float>& x, Shape shape) {
    return Tensor(const_cast<float*>(x.data()), DType::kF32, shape);
  };
  return {query.tensor, key.tensor, view(distance, query.tensor.shape()), view(whole, {heads})};
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
  const auto part = [&](int64_t i) { return ByHeads(qkv, heads).Slice(2, i * dim, (i + 1) * dim); };
  const Tensor by_heads = ByHeads(y, heads);
  const ForwardBatch& batch = step.batch;
  const Tensor& state = batch.pools[group_].layers[index_].state;
  const ops::RecurrenceInputs inputs = {
      .q = part(0),
      .k = part(1),
      .v = part(2),
      .decay = Tensor(const_cast<float*>(decay_.data()), DType::kF32, {step.rows(), heads}, {0, 1}),
  };
  if (saved_) {
    const ops::PagedKv& cache = batch.pools[saved_->group].layers[index_].kv;
    ops::WriteKv(context, step.plans[saved_->group], part(1), part(2), cache);
    ops::LightningBlocks(context, saved_->decays(), batch.sequences[saved_->group],
                         batch.states[group_], part(0), cache, state, by_heads);
  } else {
    ops::LinearRecurrence(context, inputs, batch.states[group_], state, by_heads);
  }
  ops::RmsNorm(context, y, norm_.tensor, spec_.norm_eps, y);
  gate_.Forward(context, in, gate);
  ops::ActivateAndMul(context, ops::Activation::kSigmoid, gate, y, y);
  output_.Forward(context, y, out);
}

}  // namespace banyan::nn
