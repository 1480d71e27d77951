// SPDX-License-Identifier: Apache-2.0
// Causal convolution along time over a level's Vec: lanes are channels, one chain of fused
// multiply-adds from the oldest row to the newest.
#pragma once

#include "kernels/cpu/generic/math.h"

namespace banyan::kernels {

template <class V>
struct Conv {
  using F = typename V::F;
  static constexpr int64_t kLanes = V::kLanes;
  static constexpr int64_t kMaxKernel = 8;

  static void Run(const ops::ConvTask& t, int64_t begin, int64_t end) {
    const int64_t before = t.kernel - 1;
    for (int64_t row = begin; row < end; ++row) {
      const float* taps[kMaxKernel];
      for (int64_t j = 0; j < t.kernel; ++j) {
        const int64_t i = row - before + j;
        taps[j] = i >= 0                 ? t.x + i * t.x_stride
                  : t.history == nullptr ? nullptr
                                         : t.history + (before + i) * t.channels;
      }
      float* out = t.out + row * t.out_stride;
      for (int64_t c = 0; c < t.channels; c += kLanes) {
        const int64_t left = t.channels - c;
        const auto load = [&](const float* p) {
          return left >= kLanes ? V::Load(p + c) : V::LoadN(p + c, left);
        };
        F sum = t.bias == nullptr ? V::Zero() : load(t.bias);
        for (int64_t j = 0; j < t.kernel; ++j)
          if (taps[j] != nullptr) sum = V::Fma(load(t.weight + j * t.channels), load(taps[j]), sum);
        if (t.silu) sum = sum * Math<V>::Sigmoid(sum);
        if (left >= kLanes) {
          V::Store(out + c, sum);
        } else {
          V::StoreN(out + c, sum, left);
        }
      }
    }
  }

  static void Fill(ops::OpTable& table) { table.conv = {Run}; }
};

}  // namespace banyan::kernels
