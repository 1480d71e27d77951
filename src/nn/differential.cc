// SPDX-License-Identifier: Apache-2.0
#include "nn/differential.h"

#include <cmath>
#include <numeric>

#include "ops/elementwise.h"
#include "ops/norm.h"

namespace banyan::nn {

Differential::Differential(Scope& scope, const std::string& name, const AttentionSpec& spec,
                           int index)
    : eps_(spec.differential_eps.value_or(0.0f)) {
  const auto product = [&](std::string_view q, std::string_view k) {
    const Shape shape = {spec.head_dim};
    const Vector a = scope.AddVector(fmt::format("{}.lambda_{}", name, q), shape, Axis::kNone);
    const Vector b = scope.AddVector(fmt::format("{}.lambda_{}", name, k), shape, Axis::kNone);
    if (!scope.status().ok()) return 0.0f;
    const float* from = a.tensor.data<float>();
    return std::exp(std::inner_product(from, from + spec.head_dim, b.tensor.data<float>(), 0.0f));
  };
  start_ = static_cast<float>(0.8 - 0.6 * std::exp(-0.3 * index));
  const float first = product("q1", "k1");
  lambda_ = first - product("q2", "k2") + start_;
}

void Differential::Attend(const ops::OpContext& context, const ops::AttentionPlan& plan,
                          const ops::AttentionParams& params, const ops::PagedKv& cache,
                          const Tensor& q, const Tensor& k, const Tensor& v,
                          const Tensor& out) const {
  const ops::ScratchScope scope(context.scratch);
  const int64_t heads = q.dim(1) / 2, pairs = v.dim(1) / 2, dim = v.dim(2);
  const Tensor& pool = cache.values;
  const Tensor values(pool.raw(), pool.dtype(), {pool.dim(0), pool.dim(1), pairs, 2 * dim},
                      {pool.stride(0), pool.stride(1), 2 * dim, 1});
  ops::WritePages(context, plan, k, cache.keys);
  for (const int64_t half : {0, 1})
    ops::WritePages(context, plan, v.Slice(1, half * pairs, (half + 1) * pairs),
                    values.Slice(3, half * dim, (half + 1) * dim));

  const Shape shape = {q.dim(0), heads, 2 * dim};
  const Tensor maps[] = {Tensor(out.raw(), DType::kF32, shape, {out.stride(0), 2 * dim, 1}),
                         context.scratch->Get(DType::kF32, shape)};
  for (const int64_t map : {0, 1})
    ops::Attention(context, plan, params, q.Slice(1, map * heads, (map + 1) * heads),
                   {cache.keys.Slice(2, map * pairs, (map + 1) * pairs), values}, maps[map]);
  ops::Scale(context, maps[1], -lambda_, maps[1]);
  ops::Add(context, maps[0], maps[1], maps[0]);
  ops::RmsNorm(context, maps[0], Tensor(), eps_, maps[0]);
  ops::Scale(context, maps[0], 1.0f - start_, maps[0]);
}

}  // namespace banyan::nn
