// SPDX-License-Identifier: Apache-2.0
// Selective scan over a level's Vec. Lanes run along a channel's state, which lies together in
// memory; what all rows do to a block of channels is done while its states and matrix are in the
// first-level cache. A row's result is one sum per channel, in an order that state_dim alone sets.
//
// The exponential of each state element is most of the work: it is taken to base 2 (log2 e is in
// the step), for exponents that are never above 0. Sums of four channels are reduced together.
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

  // 2^x for x <= 0, relative error 2e-7; below -126 as at -126. Numbers as large as `far` have no
  // fraction: adding it rounds x to n and leaves the exponent of 2^n in the lowest bits.
  static F Exp2(F x) {
    const F far = V::Set(0x1.8p23f + 127.0f);
    x = V::Max(V::Set(-126.0f), x);
    const F shifted = x + far;
    const F r = x - (shifted - far);
    F p = V::Set(1.535336196e-4f);
    p = V::Fma(p, r, V::Set(1.339887502e-3f));
    p = V::Fma(p, r, V::Set(9.618436918e-3f));
    p = V::Fma(p, r, V::Set(5.550332367e-2f));
    p = V::Fma(p, r, V::Set(2.402264774e-1f));
    p = V::Fma(p, r, V::Set(6.931471825e-1f));
    const F power = V::Cast(V::template ShiftLeft<23>(V::Cast(shifted)));
    return V::Fma(p, r, V::Set(1.0f)) * power;
  }

  // state = exp(dt * a) * state + in * b; returns its product with c, lane by lane.
  static F Advance(const float* a, float dt, float in, const float* b, const float* c,
                   int64_t state_dim, float* state) {
    const F step = V::Set(dt * 1.44269504088896341f);
    const F value = V::Set(in);
    F sum = V::Zero();
    int64_t n = 0;
    for (; n + kLanes <= state_dim; n += kLanes) {
      const F decay = Exp2(step * V::Load(a + n));
      const F next = V::Fma(value, V::Load(b + n), decay * V::Load(state + n));
      V::Store(state + n, next);
      sum = V::Fma(next, V::Load(c + n), sum);
    }
    if (n < state_dim) {
      const int64_t left = state_dim - n;
      const F decay = Exp2(step * V::LoadN(a + n, left));
      const F next = V::Fma(value, V::LoadN(b + n, left), decay * V::LoadN(state + n, left));
      V::StoreN(state + n, next, left);
      sum = V::Fma(next, V::LoadN(c + n, left), sum);
    }
    return sum;
  }

  // The sum of each of four vectors' lanes, as far as it is cheap: lane j of every group of four is
  // a part of vector j's.
  static void ReduceFour(F a, F b, F c, F d, float* parts) {
    V::TransposeFours(a, b, c, d);
    V::Store(parts, (a + b) + (c + d));
  }

  static void Block(const ops::ScanTask& t, int64_t begin, int64_t count) {
    alignas(64) float dt[kBlock];
    alignas(64) float in[kBlock];
    alignas(64) float parts[kBlock / 4 * kLanes];
    alignas(64) float sum[kBlock] = {};
    for (int64_t row = 0; row < t.rows; ++row) {
      Steps(t, row, begin, count, dt, in);
      const float* b = t.b + row * t.b_stride;
      const float* c = t.c + row * t.c_stride;
      for (int64_t i = 0; i < count; i += 4) {
        F four[4];
        for (int64_t j = 0; j < 4; ++j) {
          const int64_t at = (begin + i + j) * t.state_dim;
          four[j] = i + j < count
                        ? Advance(t.a + at, dt[i + j], in[i + j], b, c, t.state_dim, t.state + at)
                        : V::Zero();
        }
        ReduceFour(four[0], four[1], four[2], four[3], parts + i / 4 * kLanes);
      }
      for (int64_t i = 0; i < count; ++i) {
        const float* part = parts + i / 4 * kLanes + i % 4;
        sum[i] = part[0];
        for (int64_t group = 4; group < kLanes; group += 4) sum[i] += part[group];
      }
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
