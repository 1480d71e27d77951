// SPDX-License-Identifier: Apache-2.0
// Linear recurrences over a level's Vec. Columns of the state do not see each other: a block of
// them, small enough for the first-level cache, takes all rows before the next block begins. A
// column's sums run down the keys in an order that key_dim alone sets, whatever block it is in.
#pragma once

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/generic/rows.h"

namespace banyan::kernels {

template <class V>
struct Recurrence {
  using F = typename V::F;
  using Task = ops::RecurrenceTask;
  using Rows = ops::Rows;
  static constexpr int64_t kLanes = V::kLanes;
  static constexpr int kVecs = 4;  // of a block

  // Columns [column, column + kWidth vectors), or the first `left` of one vector where kPartial.
  template <int kWidth, bool kPartial>
  struct Columns {
    int64_t left;
    F Load(const float* p, int i) const {
      if constexpr (kPartial) return V::LoadN(p, left);
      return V::Load(p + i * kLanes);
    }
    void Store(float* p, int i, F x) const {
      if constexpr (kPartial) {
        V::StoreN(p, x, left);
      } else {
        V::Store(p + i * kLanes, x);
      }
    }
  };

  // What the state holds for the key: its product with k. Two chains, of even and of odd rows, hide
  // the latency of the additions.
  template <int kWidth, class C>
  static void Recall(const C& columns, const float* state, int64_t stride, const float* k,
                     int64_t key_dim, F* sum) {
    F odd[kWidth];
    for (int i = 0; i < kWidth; ++i) sum[i] = odd[i] = V::Zero();
    int64_t j = 0;
    for (; j + 2 <= key_dim; j += 2, state += 2 * stride) {
      const F first = V::Set(k[j]);
      const F second = V::Set(k[j + 1]);
      for (int i = 0; i < kWidth; ++i) sum[i] = V::Fma(first, columns.Load(state, i), sum[i]);
      for (int i = 0; i < kWidth; ++i)
        odd[i] = V::Fma(second, columns.Load(state + stride, i), odd[i]);
    }
    if (j < key_dim) {
      const F first = V::Set(k[j]);
      for (int i = 0; i < kWidth; ++i) sum[i] = V::Fma(first, columns.Load(state, i), sum[i]);
    }
    for (int i = 0; i < kWidth; ++i) sum[i] = sum[i] + odd[i];
  }

  template <int kWidth, bool kPartial>
  static void Block(const Task& t, int64_t column, int64_t left) {
    const Columns<kWidth, kPartial> columns{left};
    const int64_t stride = t.value_dim;
    float* const state = t.state + column;
    const F skip = V::Set(t.skip);
    for (int64_t row = 0; row < t.rows; ++row) {
      const float* k = t.k + row * t.k_stride;
      const float* q = t.q + row * t.q_stride;
      const float* v = t.v + row * t.v_stride + column;
      float* out = t.out + row * t.out_stride + column;
      const F decay = V::Set(t.decay[row * t.decay_stride]);
      const F beta = V::Set(t.beta == nullptr ? 1.0f : t.beta[row * t.beta_stride]);
      F in[kWidth];
      if (t.delta) {
        F recalled[kWidth];
        Recall<kWidth>(columns, state, stride, k, t.key_dim, recalled);
        for (int i = 0; i < kWidth; ++i)
          in[i] = beta * V::Fnma(decay, recalled[i], columns.Load(v, i));
      } else {
        for (int i = 0; i < kWidth; ++i) in[i] = beta * columns.Load(v, i);
      }
      F sum[kWidth];
      for (int i = 0; i < kWidth; ++i) sum[i] = skip * columns.Load(v, i);
      float* s = state;
      for (int64_t j = 0; j < t.key_dim; ++j, s += stride) {
        const F key = V::Set(k[j]);
        const F query = V::Set(q[j]);
        for (int i = 0; i < kWidth; ++i) {
          const F next = V::Fma(key, in[i], decay * columns.Load(s, i));
          columns.Store(s, i, next);
          sum[i] = V::Fma(query, next, sum[i]);
        }
      }
      for (int i = 0; i < kWidth; ++i) columns.Store(out, i, sum[i]);
    }
  }

  static void Run(const Task& t, int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + kVecs * kLanes <= end; i += kVecs * kLanes) Block<kVecs, false>(t, i, 0);
    for (; i + kLanes <= end; i += kLanes) Block<1, false>(t, i, 0);
    if (i < end) Block<1, true>(t, i, end - i);
  }

  static void Decay(const Rows& x, const float* bias, const float* a, float low, float high,
                    const Rows& dt, const Rows& decay, int64_t begin, int64_t end) {
    ForRows(
        begin, end,
        [&](int64_t, const float* in, float* step, float* factor) {
          MapRow<V>(
              x.dim, step,
              [&](F v, F b) {
                return V::Min(V::Set(high), V::Max(V::Set(low), Math<V>::Softplus(v + b)));
              },
              in, bias);
          MapRow<V>(
              x.dim, factor, [](F v, F rate) { return Math<V>::Exp(v * rate); }, step, a);
        },
        x, dt, decay);
  }

  static void Fill(ops::OpTable& table) { table.recurrence = {Run, Decay}; }
};

}  // namespace banyan::kernels
