// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/linear.h"

#include "kernels/cpu/linear_blocks_impl.h"
#include "kernels/cpu/linear_simd_avx512.h"

namespace banyan::kernels {
namespace {

struct Bw : Avx512 {
  static constexpr int kPanelTokens = 8;

  // Sum over the runs of (codes - offset) times x. Pairs are summed in 16 bits: as many runs as
  // fit.
  template <int kRuns, int kBits, bool kHasOffset>
  static I Dot(const I* w, const int8_t* x, int32_t init) {
    const I ones = _mm512_set1_epi16(1);
    if constexpr (kBits == 8) {
      // Stored codes are 128 above the signed ones. |code| x sign is at most 128 * 127 * 2 < 2^15.
      I sum = _mm512_setzero_si512();
      for (int g = 0; g < kRuns; ++g) {
        const I code = _mm512_xor_si512(w[g], Bytes(0x80));
        const I four = Set1(FourCodes(x + 4 * g));
        const I turned =
            _mm512_mask_sub_epi8(four, _mm512_movepi8_mask(code), _mm512_setzero_si512(), four);
        sum = _mm512_add_epi32(
            sum, _mm512_madd_epi16(_mm512_maddubs_epi16(_mm512_abs_epi8(code), turned), ones));
      }
      return sum;
    }
    constexpr int kFit = 32767 / (((1 << kBits) - 1) * 127 * 2);
    I sum = kHasOffset ? Set1(init) : _mm512_setzero_si512();
    for (int g = 0; g < kRuns; g += kFit) {
      I pairs = _mm512_maddubs_epi16(w[g], Set1(FourCodes(x + 4 * g)));
      for (int i = g + 1; i < g + kFit && i < kRuns; ++i) {
        pairs = _mm512_add_epi16(pairs, _mm512_maddubs_epi16(w[i], Set1(FourCodes(x + 4 * i))));
      }
      sum = _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, ones));
    }
    return sum;
  }
};

constexpr LinearKernels kKernels = {BlockKernels<Bw>::Quantize, BlockKernels<Bw>::Run,
                                    avx512::Floats, avx512::Round};

}  // namespace

void avx512::FillLinear(ops::OpTable& table) { SetLinear(table, &kKernels); }

}  // namespace banyan::kernels
