// SPDX-License-Identifier: Apache-2.0
// Rotary embedding over a level's Vec.
#pragma once

#include "kernels/cpu/generic/rows.h"
#include "ops/rope.h"

namespace banyan::kernels {

template <class V>
struct Rope {
  using F = typename V::F;

  static void Halves(float* row, const float* cos, const float* sin, int64_t half) {
    const auto turn = [](F a, F b, F c, F s, F& x, F& y) {
      x = V::Fnma(b, s, a * c);
      y = V::Fma(a, s, b * c);
    };
    F x, y;
    int64_t i = 0;
    for (; i + V::kLanes <= half; i += V::kLanes) {
      turn(V::Load(row + i), V::Load(row + half + i), V::Load(cos + i), V::Load(sin + i), x, y);
      V::Store(row + i, x);
      V::Store(row + half + i, y);
    }
    if (i < half) {
      const int64_t n = half - i;
      turn(V::LoadN(row + i, n), V::LoadN(row + half + i, n), V::LoadN(cos + i, n),
           V::LoadN(sin + i, n), x, y);
      V::StoreN(row + i, x, n);
      V::StoreN(row + half + i, y, n);
    }
  }

  static void Interleaved(float* row, const float* cos, const float* sin, int64_t half) {
    int64_t i = 0;
    for (; i + V::kLanes <= half; i += V::kLanes) {
      F a, b, low, high;
      V::Deinterleave(V::Load(row + 2 * i), V::Load(row + 2 * i + V::kLanes), a, b);
      const F c = V::Load(cos + i);
      const F s = V::Load(sin + i);
      V::Interleave(V::Fnma(b, s, a * c), V::Fma(a, s, b * c), low, high);
      V::Store(row + 2 * i, low);
      V::Store(row + 2 * i + V::kLanes, high);
    }
    for (; i < half; ++i) {
      const float a = row[2 * i];
      const float b = row[2 * i + 1];
      row[2 * i] = a * cos[i] - b * sin[i];
      row[2 * i + 1] = b * cos[i] + a * sin[i];
    }
  }

  static void Turn(const ops::Rows& x, const float* cos, const float* sin, int64_t half,
                   ops::RopePairing pairing, int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      const float* c = cos + token * half;
      const float* s = sin + token * half;
      for (int64_t head = 0; head < x.inner; ++head) {
        float* row = x.data + token * x.outer_stride + head * x.inner_stride;
        if (pairing == ops::RopePairing::kHalves) {
          Halves(row, c, s, half);
        } else {
          Interleaved(row, c, s, half);
        }
      }
    }
  }

  static void Fill(ops::OpTable& table) { table.rope = {Turn}; }
};

}  // namespace banyan::kernels
