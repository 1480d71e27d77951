// SPDX-License-Identifier: Apache-2.0
// AVX-512 with VNNI's dot product of unsigned and signed bytes.
#pragma once

#include "kernels/cpu/linear_simd_avx512.h"

namespace banyan::kernels {
namespace {

struct Vnni : Avx512 {
  static constexpr int kCodeBits = 8;
  static constexpr bool kSignedBytes = false;
  static constexpr int kDirectTokens = 8;
  // Twelve sums and twelve results fill the registers.
  static constexpr int kPanelTokens = 12;
  static constexpr int kTileTokens = 12;

  // sum[t] += codes(run) times x of token t, over the runs; tokens are 32 bytes apart.
  template <int kRuns, int kBits, int N, class Codes>
  static inline __attribute__((always_inline)) void Dot(const Codes& codes, const int8_t* x,
                                                        I* sum) {
    BANYAN_UNROLL
    for (int run = 0; run < kRuns; ++run) {
      const I w = codes(run);
      BANYAN_UNROLL
      for (int t = 0; t < N; ++t) {
        sum[t] = _mm512_dpbusd_epi32(sum[t], w, Set1(FourCodes(x + 32 * t + 4 * run)));
      }
    }
  }
};

}  // namespace
}  // namespace banyan::kernels
