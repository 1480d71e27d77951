// SPDX-License-Identifier: Apache-2.0
// Products with f32, f16 and bf16 weights read in place, row major, with sums in f32: written once
// for every level, as linear_blocks_impl.h. Sixteen partial sums per element
// (ops/reference/linear.h) whatever V::kLanes is, so that every level gives the same bits.
#pragma once

#include <cstdint>

#include "kernels/cpu/linear_kernels.h"

namespace banyan::kernels {

template <class V>
struct FloatKernels {
  using F = typename V::F;
  static constexpr int kRows = 4;  // rows that are multiplied together
  static constexpr int kSums = 16;
  static constexpr int kHalves = kSums / V::kLanes;
  // Weights of this size stay in the second-level cache while all tokens pass over them.
  static constexpr int64_t kChunkBytes = 256 * 1024;

  template <DType kType>
  static constexpr int64_t kSize = kType == DType::kF32 ? 4 : 2;

  template <DType kType>
  static inline __attribute__((always_inline)) F LoadWeights(const uint8_t* from) {
    if constexpr (kType == DType::kF16) return V::LoadHalves(from);
    if constexpr (kType == DType::kBF16) return V::LoadBf16(from);
    return V::LoadF(reinterpret_cast<const float*>(from));
  }

  // Rows w[0..3] times N tokens, over lanes [lane, lane + kLanes * H) of every sixteen columns.
  template <DType kType, int N, int H>
  static inline __attribute__((always_inline)) void Lanes(const uint8_t* const* w,
                                                          const float* const* x, int64_t cols,
                                                          int lane, F (*acc)[kRows][kHalves]) {
    for (int64_t k = lane; k < cols; k += kSums) {
      for (int h = 0; h < H; ++h) {
        F rows[kRows];
        for (int r = 0; r < kRows; ++r) {
          rows[r] = LoadWeights<kType>(w[r] + (k + h * V::kLanes) * kSize<kType>);
        }
        for (int t = 0; t < N; ++t) {
          const F v = V::LoadF(x[t] + k + h * V::kLanes);
          for (int r = 0; r < kRows; ++r) acc[t][r][h] = V::Fma(rows[r], v, acc[t][r][h]);
        }
      }
    }
  }

  template <DType kType, int N>
  static void Tile(const FloatProduct& p, int64_t row, int64_t token) {
    const int64_t row_bytes = p.cols * kSize<kType>;
    const uint8_t* w[kRows];
    const float* x[N];
    for (int r = 0; r < kRows; ++r) {  // beyond the last row: the last again, not stored
      const int64_t at = row + r < p.rows ? row + r : p.rows - 1;
      w[r] = static_cast<const uint8_t*>(p.weights) + at * row_bytes;
    }
    for (int t = 0; t < N; ++t) x[t] = p.x + (token + t) * p.x_stride;
    F acc[N][kRows][kHalves];
    for (int t = 0; t < N; ++t) {
      for (int r = 0; r < kRows; ++r) {
        for (int h = 0; h < kHalves; ++h) acc[t][r][h] = V::Zero();
      }
    }
    const int64_t whole = p.cols / kSums * kSums;
    if constexpr (kHalves == 1 || N == 1) {
      Lanes<kType, N, kHalves>(w, x, whole, 0, acc);
    } else {  // one half at a time: the sums of both do not fit the registers
      F half[N][kRows][kHalves];
      for (int h = 0; h < kHalves; ++h) {
        for (int t = 0; t < N; ++t) {
          for (int r = 0; r < kRows; ++r) half[t][r][0] = V::Zero();
        }
        Lanes<kType, N, 1>(w, x, whole, h * V::kLanes, half);
        for (int t = 0; t < N; ++t) {
          for (int r = 0; r < kRows; ++r) acc[t][r][h] = half[t][r][0];
        }
      }
    }
    if (whole < p.cols) Tail<kType, N>(w, x, whole, p.cols, acc);
    const int64_t left = p.rows - row;
    for (int t = 0; t < N; ++t) {
      float sums[kRows];
      V::ReduceFour(acc[t], sums);
      float* out = p.out + (token + t) * p.out_stride + row;
      for (int r = 0; r < kRows && r < left; ++r) {
        out[r] = p.bias == nullptr ? sums[r] : sums[r] + p.bias[row + r];
      }
    }
  }

  // The last columns, fewer than sixteen, padded with zeros.
  template <DType kType, int N>
  static void Tail(const uint8_t* const* w, const float* const* x, int64_t from, int64_t cols,
                   F (*acc)[kRows][kHalves]) {
    alignas(64) uint8_t w_tail[kRows][kSums * 4] = {};
    alignas(64) float x_tail[N][kSums] = {};
    const auto left = static_cast<std::size_t>(cols - from);
    const uint8_t* w_at[kRows];
    const float* x_at[N];
    for (int r = 0; r < kRows; ++r) {
      __builtin_memcpy(w_tail[r], w[r] + from * kSize<kType>, left * kSize<kType>);
      w_at[r] = w_tail[r];
    }
    for (int t = 0; t < N; ++t) {
      __builtin_memcpy(x_tail[t], x[t] + from, left * sizeof(float));
      x_at[t] = x_tail[t];
    }
    Lanes<kType, N, kHalves>(w_at, x_at, kSums, 0, acc);
  }

  template <DType kType>
  static void Rows(const FloatProduct& p, int64_t begin, int64_t end) {
    int64_t chunk = kChunkBytes / (p.cols * kSize<kType> + 1) / kRows * kRows;
    if (chunk < kRows) chunk = kRows;
    if (p.n <= V::kFloatTokens) chunk = end - begin;
    for (int64_t first = begin; first < end; first += chunk) {
      const int64_t last = end - first < chunk ? end : first + chunk;
      for (int64_t token = 0; token < p.n; token += V::kFloatTokens) {
        const int64_t left = p.n - token;
        for (int64_t row = first; row < last; row += kRows) {
          // Rows of the next part are another thread's.
          FloatProduct q = p;
          q.rows = last;
          if (left >= V::kFloatTokens) {
            Tile<kType, V::kFloatTokens>(q, row, token);
          } else {
            Some<kType, V::kFloatTokens - 1>(q, row, token, left);
          }
        }
      }
    }
  }

  template <DType kType, int N>
  static void Some(const FloatProduct& p, int64_t row, int64_t token, int64_t left) {
    if (left == N) return Tile<kType, N>(p, row, token);
    if constexpr (N > 1) Some<kType, N - 1>(p, row, token, left);
  }

  static void Run(const FloatProduct& p, int64_t begin, int64_t end) {
    switch (p.format) {
      case DType::kF16:
        return Rows<DType::kF16>(p, begin, end);
      case DType::kBF16:
        return Rows<DType::kBF16>(p, begin, end);
      default:
        return Rows<DType::kF32>(p, begin, end);
    }
  }

  static void Round(const float* from, int64_t n, DType compute, float* to) {
    for (int64_t i = 0; i < n; i += V::kLanes) {
      const int count = n - i < V::kLanes ? static_cast<int>(n - i) : V::kLanes;
      const F v = V::LoadSome(from + i, count);
      V::StoreSome(to + i, compute == DType::kBF16 ? V::RoundBf16(v) : V::RoundF16(v), count);
    }
  }
};

}  // namespace banyan::kernels
