// SPDX-License-Identifier: Apache-2.0
// RmsNorm, AddRmsNorm and LayerNorm over a level's Vec. A row is summed in four chains of vectors,
// in f32, in an order that its length alone sets.
#pragma once

#include <cmath>

#include "kernels/cpu/generic/rows.h"

namespace banyan::kernels {

template <class V>
struct Norm {
  using F = typename V::F;
  static constexpr int64_t kLanes = V::kLanes;

  // Sum of fn(x[i]) with lanes beyond the row left out.
  template <class Fn>
  static float Sum(const float* x, int64_t dim, Fn&& fn) {
    F a = V::Zero();
    F b = V::Zero();
    F c = V::Zero();
    F d = V::Zero();
    int64_t i = 0;
    for (; i + 4 * kLanes <= dim; i += 4 * kLanes) {
      a = fn(a, V::Load(x + i));
      b = fn(b, V::Load(x + i + kLanes));
      c = fn(c, V::Load(x + i + 2 * kLanes));
      d = fn(d, V::Load(x + i + 3 * kLanes));
    }
    for (; i + kLanes <= dim; i += kLanes) a = fn(a, V::Load(x + i));
    if (i < dim) {
      const F inside = V::LoadN(kOnes, dim - i);
      const F last = fn(V::Zero(), V::LoadN(x + i, dim - i));
      b = V::Fma(inside, last, b);
    }
    return V::ReduceAdd((a + b) + (c + d));
  }

  static void Normalize(const float* x, const float* weight, float eps, int64_t dim, float* out) {
    const float squares = Sum(x, dim, [](F sum, F v) { return V::Fma(v, v, sum); });
    const F factor = V::Set(1.0f / std::sqrt(squares / static_cast<float>(dim) + eps));
    if (weight == nullptr) {
      MapRow<V>(
          dim, out, [&](F v) { return v * factor; }, x);
    } else {
      MapRow<V>(
          dim, out, [&](F v, F w) { return v * factor * w; }, x, weight);
    }
  }

  static void Rms(const ops::Rows& x, const float* weight, int64_t affine_stride, float eps,
                  const ops::Rows& out, int64_t begin, int64_t end) {
    ForRows(
        begin, end,
        [&](int64_t inner, const float* in, float* to) {
          Normalize(in, weight == nullptr ? nullptr : weight + inner * affine_stride, eps, x.dim,
                    to);
        },
        x, out);
  }

  static void AddRms(const ops::Rows& x, const ops::Rows& residual, const float* weight, float eps,
                     const ops::Rows& out, int64_t begin, int64_t end) {
    ForRows(
        begin, end,
        [&](int64_t, const float* in, float* sum, float* to) {
          MapRow<V>(
              x.dim, sum, [](F a, F b) { return a + b; }, in, sum);
          Normalize(sum, weight, eps, x.dim, to);
        },
        x, residual, out);
  }

  static void Layer(const ops::Rows& x, const float* weight, const float* bias,
                    int64_t affine_stride, float eps, const ops::Rows& out, int64_t begin,
                    int64_t end) {
    const auto n = static_cast<float>(x.dim);
    ForRows(
        begin, end,
        [&](int64_t inner, const float* in, float* to) {
          const int64_t affine = inner * affine_stride;
          const F mean = V::Set(Sum(in, x.dim, [](F sum, F v) { return sum + v; }) / n);
          const float squares = Sum(in, x.dim, [&](F sum, F v) {
            const F d = v - mean;
            return V::Fma(d, d, sum);
          });
          const F factor = V::Set(1.0f / std::sqrt(squares / n + eps));
          MapRow<V>(
              x.dim, to, [&](F v) { return (v - mean) * factor; }, in);
          if (weight != nullptr)
            MapRow<V>(
                x.dim, to, [](F v, F w) { return v * w; }, to, weight + affine);
          if (bias != nullptr)
            MapRow<V>(
                x.dim, to, [](F v, F b) { return v + b; }, to, bias + affine);
        },
        x, out);
  }

  static void Fill(ops::OpTable& table) { table.norm = {Rms, AddRms, Layer}; }

 private:
  static constexpr float kOnes[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
};

}  // namespace banyan::kernels
