// SPDX-License-Identifier: Apache-2.0
// AVX-512 with VNNI's dot product of unsigned and signed bytes.
#pragma once

#include "kernels/cpu/linear_simd_avx512.h"

namespace banyan::kernels {
namespace {

struct Vnni : Avx512 {
  static constexpr int kCodeBits = 8;

  // Sum over the runs of unsigned codes times x, plus init.
  template <int kRuns, int kBits, bool kHasOffset>
  static I Dot(const I* w, const int8_t* x, int32_t init) {
    I sum = kHasOffset ? Set1(init) : _mm512_setzero_si512();
    for (int g = 0; g < kRuns; ++g) {
      sum = _mm512_dpbusd_epi32(sum, w[g], Set1(FourCodes(x + 4 * g)));
    }
    return sum;
  }
};

}  // namespace
}  // namespace banyan::kernels
