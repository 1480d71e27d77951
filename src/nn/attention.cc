// SPDX-License-Identifier: Apache-2.0
#include "nn/attention.h"

#include <cmath>

#include "ops/elementwise.h"
#include "ops/reference/half.h"

namespace banyan::nn {
namespace {

// ALiBi's slopes (Press et al. 2022): powers of 2^(-8 / n) for n the power of two at most the
// number of heads, the rest from the odd powers for 2n. Rounded to bf16, as Falcon has them.
std::vector<float> AlibiSlopes(int heads) {
  int power = 1;
  while (power * 2 <= heads) power *= 2;
  std::vector<float> slopes;
  for (int i = 1; i <= heads; ++i) {
    const double exponent = i <= power ? -8.0 * i / power : -4.0 * (2 * (i - power) - 1) / power;
    slopes.push_back(ops::FromBf16(ops::ToBf16(static_cast<float>(std::exp2(exponent)))));
  }
  return slopes;
}

}  // namespace

Attention::Attention(Scope& scope, const std::string& name, const AttentionSpec& spec,
                     const LayerSpec& layer, int hidden, int index)
    : spec_(spec), layer_(layer), index_(index) {
  const int q_rows = spec.heads * spec.head_dim;
  const int kv_rows = spec.kv_heads * spec.head_dim;
  qkv_ = scope.AddLinear({{name + ".q", q_rows, Axis::kHeads},
                          {name + ".k", kv_rows, Axis::kKvHeads},
                          {name + ".v", kv_rows, Axis::kKvHeads}},
                         hidden, Axis::kHidden, spec.qkv_bias);
  auto qk_norm = [&](std::string_view which, int heads, Axis axis, std::optional<Norm>& norm) {
    using QkNorm = AttentionSpec::QkNorm;
    if (spec.qk_norm == QkNorm::kNone || !layer.qk_norm) return;
    const int dim = spec.head_dim;
    const Shape shape = spec.qk_norm == QkNorm::kHead      ? Shape{dim}
                        : spec.qk_norm == QkNorm::kPerHead ? Shape{heads, dim}
                                                           : Shape{heads * dim};
    norm.emplace(scope, fmt::format("{}.{}", name, which), spec.qk_norm_spec, shape,
                 spec.qk_norm == QkNorm::kHead ? Axis::kNone : axis);
  };
  qk_norm("q_norm", spec.heads, Axis::kHeads, q_norm_);
  qk_norm("k_norm", spec.kv_heads, Axis::kKvHeads, k_norm_);
  output_ = scope.AddLinear({{name + ".output", hidden, Axis::kHidden}}, q_rows, Axis::kHeads,
                            spec.output_bias);
  if (spec.output_gate)
    gate_ = scope.AddLinear({{name + ".gate", q_rows, Axis::kHeads}}, hidden, Axis::kHidden,
                            spec.output_gate_bias);
  if (spec.sinks) sinks_ = scope.AddVector(name + ".sinks.weight", {spec.heads}, Axis::kHeads);
  if (spec.output_norm)
    output_norm_.emplace(scope, name + ".output_norm", *spec.output_norm, Shape{q_rows},
                         Axis::kHeads);
  if (spec.differential_eps) differential_.emplace(scope, name, spec, index);
  if (spec.dynamic_mask > 0) mask_.emplace(scope, name, spec, spec.scale * layer.scale);
  const int key_dim = mask_ ? DynamicMask::KeyDim(spec.head_dim) : spec.head_dim;
  group_ = scope.AddKv(index, spec.kv_heads, key_dim, spec.head_dim,
                       {.window = layer.window, .chunk = layer.chunk});
  if (spec.alibi) alibi_slopes_ = AlibiSlopes(spec.heads);
}

void Attention::Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const {
  const ops::OpContext& context = step.context;
  const ops::ScratchScope scope(context.scratch);
  const int64_t q_dim = int64_t{spec_.heads} * spec_.head_dim;
  const int64_t kv_dim = int64_t{spec_.kv_heads} * spec_.head_dim;
  const Tensor qkv = context.scratch->Get(DType::kF32, {step.rows(), q_dim + 2 * kv_dim});
  qkv_.Forward(context, in, qkv);

  // [n, dim] slices of the rows, and the same by heads.
  const Tensor q_flat = qkv.Slice(1, 0, q_dim);
  const Tensor k_flat = qkv.Slice(1, q_dim, q_dim + kv_dim);
  const Tensor q = ByHeads(q_flat, spec_.heads), k = ByHeads(k_flat, spec_.kv_heads);
  const Tensor v = ByHeads(qkv.Slice(1, q_dim + kv_dim, q_dim + 2 * kv_dim), spec_.kv_heads);

  auto norms = [&] {
    if (!q_norm_) return;
    const bool whole = spec_.qk_norm == AttentionSpec::QkNorm::kWhole;
    q_norm_->Forward(context, whole ? q_flat : q, whole ? q_flat : q);
    k_norm_->Forward(context, whole ? k_flat : k, whole ? k_flat : k);
  };
  if (!spec_.qk_norm_after_rope) norms();
  if (spec_.clip_qkv > 0.0f) ops::Clamp(context, qkv, -spec_.clip_qkv, spec_.clip_qkv, qkv);
  if (layer_.rope >= 0) step.ropes[layer_.rope].Apply(context, step.angles[layer_.rope], q, k);
  if (spec_.qk_norm_after_rope) norms();

  const Tensor attended = context.scratch->Get(DType::kF32, {step.rows(), q_dim});
  Attend(step, q, k, v, ByHeads(attended, spec_.heads));
  if (!gate_.empty()) {
    const Tensor gate = context.scratch->Get(DType::kF32, {step.rows(), q_dim});
    gate_.Forward(context, in, gate);
    ops::Activate(context, ops::Activation::kSigmoid, gate, gate);
    ops::Mul(context, attended, gate, attended);
  }
  if (output_norm_) output_norm_->Forward(context, attended, attended);
  output_.Forward(context, attended, out);
}

void Attention::Attend(const StepInputs& step, const Tensor& q, const Tensor& k, const Tensor& v,
                       const Tensor& out) const {
  const ops::OpContext& context = step.context;
  const ops::AttentionPlan& plan = step.plans[group_];
  const ops::PagedKv& cache = step.batch.pools[group_].layers[index_].kv;
  ops::AttentionParams params;
  params.scale = spec_.scale * layer_.scale;
  params.softcap = spec_.softcap;
  params.window = layer_.window;
  params.chunk = layer_.chunk;
  if (!alibi_slopes_.empty())
    params.alibi_slopes =
        Tensor(const_cast<float*>(alibi_slopes_.data()), DType::kF32, {spec_.heads});
  params.sink_logits = sinks_.tensor;
  if (mask_) return mask_->Attend(step, group_, params, cache, q, k, v, out);
  if (differential_) return differential_->Attend(context, plan, params, cache, q, k, v, out);
  ops::WriteKv(context, plan, k, v, cache);
  ops::Attention(context, plan, params, q, cache, out);
}

}  // namespace banyan::nn
