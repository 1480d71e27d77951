// SPDX-License-Identifier: Apache-2.0
// Linear recurrences over a level's Vec. Columns of the state do not see each other: a block of
// them, small enough for the first-level cache, takes all rows before the next block begins. A
// column's sums run down the keys in an order that key_dim alone sets, whatever block it is in and
// however many rows share a pass over the state.
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

  // What one row does to a block of columns.
  template <int kWidth>
  struct Row {
    const float* k;
    const float* q;
    F decay;
    F in[kWidth];   // taken in with the key
    F sum[kWidth];  // read by the query
  };

  template <int kWidth, class C>
  static Row<kWidth> Begin(const Task& t, const C& columns, int64_t row, int64_t column,
                           const F* recalled) {
    const float* v = t.v + row * t.v_stride + column;
    const F skip = V::Set(t.skip);
    const F beta = V::Set(t.beta == nullptr ? 1.0f : t.beta[row * t.beta_stride]);
    Row<kWidth> r;
    r.k = t.k + row * t.k_stride;
    r.q = t.q + row * t.q_stride;
    r.decay = V::Set(t.decay[row * t.decay_stride]);
    for (int i = 0; i < kWidth; ++i) {
      const F value = columns.Load(v, i);
      r.in[i] = beta * (recalled == nullptr ? value : V::Fnma(r.decay, recalled[i], value));
      r.sum[i] = skip * value;
    }
    return r;
  }

  template <int kWidth, class C>
  static void End(const Task& t, const C& columns, int64_t row, int64_t column,
                  const Row<kWidth>& r) {
    for (int i = 0; i < kWidth; ++i)
      columns.Store(t.out + row * t.out_stride + column, i, r.sum[i]);
  }

  // One state row's share of a row's step; returns its new value.
  template <int kWidth>
  static F Step(Row<kWidth>& r, int64_t j, int i, F state) {
    const F next = V::Fma(V::Set(r.k[j]), r.in[i], r.decay * state);
    r.sum[i] = V::Fma(V::Set(r.q[j]), next, r.sum[i]);
    return next;
  }

  // Two rows in one pass over the state.
  template <int kWidth, class C>
  static void TwoRows(const Task& t, const C& columns, int64_t row, int64_t column, float* state) {
    Row<kWidth> first = Begin<kWidth>(t, columns, row, column, nullptr);
    Row<kWidth> second = Begin<kWidth>(t, columns, row + 1, column, nullptr);
    for (int64_t j = 0; j < t.key_dim; ++j, state += t.value_dim)
      for (int i = 0; i < kWidth; ++i)
        columns.Store(state, i, Step(second, j, i, Step(first, j, i, columns.Load(state, i))));
    End(t, columns, row, column, first);
    End(t, columns, row + 1, column, second);
  }

  // One row by the delta rule, and what the state then holds for the key of the next row, as Recall
  // finds it.
  template <int kWidth, class C>
  static void DeltaRow(const Task& t, const C& columns, int64_t row, int64_t column, float* state,
                       F* recalled) {
    Row<kWidth> r = Begin<kWidth>(t, columns, row, column, recalled);
    const float* next_key = t.k + (row + 1) * t.k_stride;
    F odd[kWidth];
    for (int i = 0; i < kWidth; ++i) recalled[i] = odd[i] = V::Zero();
    const auto step = [&](int64_t j, float* at, F* held) {
      for (int i = 0; i < kWidth; ++i) {
        const F next = Step(r, j, i, columns.Load(at, i));
        columns.Store(at, i, next);
        held[i] = V::Fma(V::Set(next_key[j]), next, held[i]);
      }
    };
    int64_t j = 0;
    for (; j + 2 <= t.key_dim; j += 2, state += 2 * t.value_dim) {
      step(j, state, recalled);
      step(j + 1, state + t.value_dim, odd);
    }
    if (j < t.key_dim) step(j, state, recalled);
    for (int i = 0; i < kWidth; ++i) recalled[i] = recalled[i] + odd[i];
    End(t, columns, row, column, r);
  }

  template <int kWidth, bool kPartial>
  static void Block(const Task& t, int64_t column, int64_t left) {
    const Columns<kWidth, kPartial> columns{left};
    float* const state = t.state + column;
    F recalled[kWidth];
    int64_t row = 0;
    if (t.delta) {
      if (t.rows > 0) Recall<kWidth>(columns, state, t.value_dim, t.k, t.key_dim, recalled);
      for (; row + 1 < t.rows; ++row) DeltaRow<kWidth>(t, columns, row, column, state, recalled);
    } else {
      for (; row + 2 <= t.rows; row += 2) TwoRows<kWidth>(t, columns, row, column, state);
    }
    if (row == t.rows) return;
    Row<kWidth> r = Begin<kWidth>(t, columns, row, column, t.delta ? recalled : nullptr);
    float* at = state;
    for (int64_t j = 0; j < t.key_dim; ++j, at += t.value_dim)
      for (int i = 0; i < kWidth; ++i) columns.Store(at, i, Step(r, j, i, columns.Load(at, i)));
    End(t, columns, row, column, r);
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
