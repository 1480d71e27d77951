// SPDX-License-Identifier: Apache-2.0
// Products with f32, f16 and bf16 weights read in place, row major, with sums in f32: written once
// for every level, as linear_blocks_impl.h. Sixteen partial sums per element
// (ops/reference/linear.h) whatever V::kLanes is, so that every level gives the same bits.
#pragma once

#include <cstdint>

#include "kernels/cpu/linear_kernels.h"

namespace banyan::kernels {

// Products in f32: one column per lane.
template <class V>
struct F32Dot {
  using X = float;
  static constexpr int kColumns = 1;
  static const X* Tokens(const FloatProduct& p) { return p.x; }
  static auto LoadX(const X* from) { return V::LoadF(from); }
  template <DType kType>
  static auto LoadWeights(const uint8_t* from) {
    if constexpr (kType == DType::kF16) {
      return V::LoadHalves(from);
    } else if constexpr (kType == DType::kBF16) {
      return V::LoadBf16(from);
    } else {
      return V::LoadF(reinterpret_cast<const float*>(from));
    }
  }
  template <class F>
  static F Add(F acc, F w, F x) {
    return V::Fma(w, x, acc);
  }
};

// D says what a lane multiplies at once: F32Dot, or a pair of bf16 in hardware.
template <class V, class D>
struct FloatKernels {
  using F = typename V::F;
  using X = typename D::X;
  static constexpr int kRows = 4;  // rows that are multiplied together
  static constexpr int kSums = 16;
  static constexpr int kHalves = kSums / V::kLanes;
  static constexpr int kStep = kSums * D::kColumns;      // columns of all sums
  static constexpr int kHalf = V::kLanes * D::kColumns;  // columns of one vector
  // Weights of this size stay in the second-level cache while all tokens pass over them.
  static constexpr int64_t kChunkBytes = 256 * 1024;

  template <DType kType>
  static constexpr int64_t kSize = kType == DType::kF32 ? 4 : 2;

  // Rows w[0..3] times N tokens, over columns [first, first + kHalf * H) of every kStep.
  template <DType kType, int N, int H>
  static inline __attribute__((always_inline)) void Lanes(const uint8_t* const* w,
                                                          const X* const* x, int64_t cols,
                                                          int first, F (*acc)[kRows][kHalves]) {
    for (int64_t k = first; k < cols; k += kStep) {
      BANYAN_UNROLL
      for (int h = 0; h < H; ++h) {
        decltype(D::template LoadWeights<kType>(w[0])) rows[kRows];
        BANYAN_UNROLL
        for (int r = 0; r < kRows; ++r) {
          rows[r] = D::template LoadWeights<kType>(w[r] + (k + h * kHalf) * kSize<kType>);
        }
        BANYAN_UNROLL
        for (int t = 0; t < N; ++t) {
          const auto v = D::LoadX(x[t] + k + h * kHalf);
          BANYAN_UNROLL
          for (int r = 0; r < kRows; ++r) acc[t][r][h] = D::Add(acc[t][r][h], rows[r], v);
        }
      }
    }
  }

  template <DType kType, int N>
  static void Tile(const FloatProduct& p, int64_t row, int64_t token) {
    const int64_t row_bytes = p.cols * kSize<kType>;
    const uint8_t* w[kRows];
    const X* x[N];
    for (int r = 0; r < kRows; ++r) {  // beyond the last row: the last again, not stored
      const int64_t at = row + r < p.rows ? row + r : p.rows - 1;
      w[r] = static_cast<const uint8_t*>(p.weights) + at * row_bytes;
    }
    for (int t = 0; t < N; ++t) x[t] = D::Tokens(p) + (token + t) * p.x_stride;
    F acc[N][kRows][kHalves];
    for (int t = 0; t < N; ++t) {
      for (int r = 0; r < kRows; ++r) {
        for (int h = 0; h < kHalves; ++h) acc[t][r][h] = V::Zero();
      }
    }
    const int64_t whole = p.cols / kStep * kStep;
    if constexpr (kHalves == 1 || N == 1) {
      Lanes<kType, N, kHalves>(w, x, whole, 0, acc);
    } else {  // one half at a time: the sums of both do not fit the registers
      F half[N][kRows][kHalves];
      for (int h = 0; h < kHalves; ++h) {
        for (int t = 0; t < N; ++t) {
          for (int r = 0; r < kRows; ++r) half[t][r][0] = V::Zero();
        }
        Lanes<kType, N, 1>(w, x, whole, h * kHalf, half);
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

  // The last columns, fewer than a step, padded with zeros.
  template <DType kType, int N>
  static void Tail(const uint8_t* const* w, const X* const* x, int64_t from, int64_t cols,
                   F (*acc)[kRows][kHalves]) {
    alignas(64) uint8_t w_tail[kRows][kStep * 4] = {};
    alignas(64) X x_tail[N][kStep] = {};
    const auto left = static_cast<std::size_t>(cols - from);
    const uint8_t* w_at[kRows];
    const X* x_at[N];
    for (int r = 0; r < kRows; ++r) {
      __builtin_memcpy(w_tail[r], w[r] + from * kSize<kType>, left * kSize<kType>);
      w_at[r] = w_tail[r];
    }
    for (int t = 0; t < N; ++t) {
      __builtin_memcpy(x_tail[t], x[t] + from, left * sizeof(X));
      x_at[t] = x_tail[t];
    }
    Lanes<kType, N, kHalves>(w_at, x_at, kStep, 0, acc);
  }

  template <DType kType>
  static void Rows(const FloatProduct& p, int64_t begin, int64_t end) {
    int64_t chunk = kChunkBytes / (p.cols * kSize<kType> + 1) / kRows * kRows;
    if (chunk < kRows) chunk = kRows;
    if (p.n <= V::kFloatTokens) chunk = end - begin;
    FloatProduct q = p;
    q.rows = end;  // the rows beyond are another thread's
    for (int64_t first = begin; first < end; first += chunk) {
      const int64_t last = end - first < chunk ? end : first + chunk;
      for (int64_t token = 0; token < p.n; token += V::kFloatTokens) {
        const int64_t left = p.n - token;
        for (int64_t row = first; row < last; row += kRows) {
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
