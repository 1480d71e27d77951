// SPDX-License-Identifier: Apache-2.0
#include "nn/dynamic_mask.h"

#include <algorithm>
#include <cmath>

#include "ops/elementwise.h"
#include "ops/recurrence.h"
#include "ops/sparse_index.h"

namespace banyan::nn {
namespace {

// The same floats in every row, of which `dim` count.
Tensor Repeat(const std::vector<float>& floats, int64_t n, int64_t heads, int64_t dim) {
  return {const_cast<float*>(floats.data()), DType::kF32, {n, heads, dim}, {0, 0, 1}};
}

}  // namespace

DynamicMask::DynamicMask(Scope& scope, const std::string& name, const AttentionSpec& spec,
                         float scale)
    : most_(spec.dynamic_mask) {
  dt_ = scope.AddLinear({{name + ".mask_dt", spec.kv_heads, Axis::kKvHeads}},
                        int64_t{spec.kv_heads} * spec.head_dim, Axis::kKvHeads, spec.qkv_bias);
  rate_ = scope.AddVector(name + ".mask_rate", {spec.kv_heads}, Axis::kKvHeads);
  const int tail = KeyDim(spec.head_dim) - spec.head_dim;
  zeros_.resize(static_cast<std::size_t>(std::max(tail, spec.kv_heads)));
  query_tail_.resize(static_cast<std::size_t>(tail));
  std::fill_n(query_tail_.begin(), ops::kSplitParts, 1.0f / scale);
}

void DynamicMask::Attend(const StepInputs& step, int group, const ops::AttentionParams& params,
                         const ops::PagedKv& cache, const Tensor& q, const Tensor& k,
                         const Tensor& v, const Tensor& out) const {
  const ops::OpContext& context = step.context;
  const ops::ScratchScope scope(context.scratch);
  const int64_t n = k.dim(0), heads = q.dim(1), kv_heads = k.dim(1), dim = k.dim(2);
  const int64_t width = cache.keys.dim(3), tail = width - dim;
  const Tensor queries = context.scratch->Get(DType::kF32, {n, heads, width});
  const Tensor keys = context.scratch->Get(DType::kF32, {n, kv_heads, width});
  ops::Scale(context, q, 1.0f, queries.Slice(2, 0, dim));
  ops::Scale(context, Repeat(query_tail_, n, heads, tail), 1.0f, queries.Slice(2, dim, width));
  ops::Scale(context, k, 1.0f, keys.Slice(2, 0, dim));
  ops::Scale(context, Repeat(zeros_, n, kv_heads, tail), 1.0f, keys.Slice(2, dim, width));

  const Tensor dt = context.scratch->Get(DType::kF32, {n, kv_heads});
  const Tensor weights = context.scratch->Get(DType::kF32, {n, kv_heads});
  dt_.Forward(context, Tensor(v.raw(), DType::kF32, {n, kv_heads * dim}, {v.stride(0), 1}), dt);
  const Tensor no_bias = Repeat(zeros_, 1, 1, kv_heads).Row(0).Row(0);
  ops::StepAndDecay(context, dt, no_bias, rate_.tensor, 0.0f, INFINITY, dt, weights);
  ops::SplitToBf16(context, weights, keys.Slice(2, dim, dim + ops::kSplitParts));

  ops::WriteKv(context, step.plans[group], keys, v, cache);
  const bool chooses =
      params.window == 0 && std::ranges::any_of(step.batch.sequences[group],
                                                [&](const auto& s) { return s.kv_len > most_; });
  if (chooses) return Choose(step, group, params, cache, queries, out);
  ops::Attention(context, step.plans[group], params, queries, cache, out);
}

// Kv head by kv head, each with the positions that it sees. A weight is over 0, and so the index's
// score of a key's last elements against the queries' is the weight itself, scaled.
void DynamicMask::Choose(const StepInputs& step, int group, ops::AttentionParams params,
                         const ops::PagedKv& cache, const Tensor& q, const Tensor& out) const {
  const ops::OpContext& context = step.context;
  const int64_t n = q.dim(0), kv_heads = cache.keys.dim(2), heads = q.dim(1) / kv_heads;
  const int64_t width = cache.keys.dim(3), tail = static_cast<int64_t>(query_tail_.size());
  const ops::AttentionPlan plan =
      ops::PlanAttention(context, step.batch.sequences[group], step.plans[group].page_size, most_);
  params.chosen = {context.scratch->Get(DType::kI32, {n, most_}),
                   context.scratch->Get(DType::kI32, {n})};
  float one = 1.0f;
  for (int64_t head = 0; head < kv_heads; ++head) {
    const ops::PagedKv own = {cache.keys.Slice(2, head, head + 1),
                              cache.values.Slice(2, head, head + 1)};
    ops::ChoosePositions(context, plan,
                         {.q = Repeat(query_tail_, n, 1, tail),
                          .weights = Tensor(&one, DType::kF32, {n, 1}, {0, 1}),
                          .keys = own.keys.Slice(3, width - tail, width),
                          .most = most_},
                         params.chosen);
    ops::Attention(context, plan, params, q.Slice(1, head * heads, (head + 1) * heads), own,
                   out.Slice(1, head * heads, (head + 1) * heads));
  }
}

}  // namespace banyan::nn
