// SPDX-License-Identifier: Apache-2.0
// Selective scan over a level's Vec. Lanes run along a channel's state, which lies together in
// memory; what all rows do to a block of channels is done while its states and matrix are in the
// first-level cache. A row's result is one sum per channel, in an order that state_dim alone sets.
#pragma once

#include "kernels/cpu/generic/math.h"

namespace banyan::kernels {

template <class V>
struct Scan {
  using F = typename V::F;
  using M = Math<V>;
  static constexpr int64_t kLanes = V::kLanes;
  static constexpr int64_t kBlock = 64;  // channels

  // One row of channels [begin, begin + count): dt and what enters the state, dt * x.
  static void Steps(const ops::ScanTask& t, int64_t row, int64_t begin, int64_t count, float* dt,
                    float* in) {
    const float* raw = t.dt + row * t.dt_stride + begin;
    const float* x = t.x + row * t.x_stride + begin;
    for (int64_t i = 0; i < count; i += kLanes) {
      const int64_t left = count - i;
      const F step = M::Softplus(left >= kLanes ? V::Load(raw + i) : V::LoadN(raw + i, left));
      V::Store(dt + i, step);
      V::Store(in + i, step * (left >= kLanes ? V::Load(x + i) : V::LoadN(x + i, left)));
    }
  }

  // state = exp(dt * a) * state + in * b; returns its product with c.
  static float Advance(const float* a, float dt, float in, const float* b, const float* c,
                       int64_t state_dim, float* state) {
    const F step = V::Set(dt);
    const F value = V::Set(in);
    F sum = V::Zero();
    int64_t n = 0;
    for (; n + kLanes <= state_dim; n += kLanes) {
      const F decay = M::Exp(step * V::Load(a + n));
      const F next = V::Fma(value, V::Load(b + n), decay * V::Load(state + n));
      V::Store(state + n, next);
      sum = V::Fma(next, V::Load(c + n), sum);
    }
    if (n < state_dim) {
      const int64_t left = state_dim - n;
      const F decay = M::Exp(step * V::LoadN(a + n, left));
      const F next = V::Fma(value, V::LoadN(b + n, left), decay * V::LoadN(state + n, left));
      V::StoreN(state + n, next, left);
      sum = V::Fma(next, V::LoadN(c + n, left), sum);
    }
    return V::ReduceAdd(sum);
  }

  static void Block(const ops::ScanTask& t, int64_t begin, int64_t count) {
    alignas(64) float dt[kBlock];
    alignas(64) float in[kBlock];
    alignas(64) float sum[kBlock] = {};
    for (int64_t row = 0; row < t.rows; ++row) {
      Steps(t, row, begin, count, dt, in);
      for (int64_t i = 0; i < count; ++i)
        sum[i] = Advance(t.a + (begin + i) * t.state_dim, dt[i], in[i], t.b + row * t.b_stride,
                         t.c + row * t.c_stride, t.state_dim, t.state + (begin + i) * t.state_dim);
      const float* x = t.x + row * t.x_stride + begin;
      const float* z = t.z == nullptr ? nullptr : t.z + row * t.z_stride + begin;
      float* out = t.out + row * t.out_stride + begin;
      for (int64_t i = 0; i < count; i += kLanes) {
        const int64_t left = count - i;
        const auto load = [&](const float* p) {
          return left >= kLanes ? V::Load(p) : V::LoadN(p, left);
        };
        F y = V::Fma(load(t.skip + begin + i), load(x + i), V::Load(sum + i));
        if (z != nullptr) {
          const F gate = load(z + i);
          y = y * (gate * M::Sigmoid(gate));
        }
        if (left >= kLanes) {
          V::Store(out + i, y);
        } else {
          V::StoreN(out + i, y, left);
        }
      }
    }
  }

  static void Run(const ops::ScanTask& t, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kBlock) Block(t, i, end - i < kBlock ? end - i : kBlock);
  }

  static void Fill(ops::OpTable& table) { table.scan = {Run}; }
};

}  // namespace banyan::kernels
