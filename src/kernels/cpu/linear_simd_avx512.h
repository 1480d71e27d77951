// SPDX-License-Identifier: Apache-2.0
// The vector that linear_blocks_impl.h and linear_floats_impl.h are written for, in AVX-512.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/linear_blocks_impl.h"

namespace banyan::kernels {
namespace {

inline __attribute__((always_inline)) int32_t FourCodes(const int8_t* x) {
  int32_t four;
  __builtin_memcpy(&four, x, sizeof four);
  return four;
}

struct Avx512 {
  static constexpr int kLanes = 16;
  static constexpr bool kTiles = false;  // whether panels are multiplied by MultiplyTile
  // Dot's kinds of codes; 0: each width is its own.
  static constexpr int kCodeBits = 0;
  static constexpr bool kSignedBytes = true;  // how Dot takes codes of 8 bits
  static constexpr int kDirectTokens = 4;     // more take panels
  static constexpr int kPanelTokens = 8;
  static constexpr int kTileTokens = 16;
  static constexpr int kFloatTokens = 6;
  using I = __m512i;
  using F = __m512;

  static __mmask16 First(int count) { return static_cast<__mmask16>((1u << count) - 1); }

  static I Load(const void* from) { return _mm512_loadu_si512(from); }
  static void Store(void* to, I v) { _mm512_storeu_si512(to, v); }
  static I ZeroI() { return _mm512_setzero_si512(); }
  static I Set1(int32_t v) { return _mm512_set1_epi32(v); }
  static I Bytes(int v) { return _mm512_set1_epi8(static_cast<char>(v)); }
  static I And(I a, I b) { return _mm512_and_si512(a, b); }
  static I SubBytes(I a, I b) { return _mm512_sub_epi8(a, b); }
  static I OrAnd(I a, I b, I mask) { return _mm512_ternarylogic_epi32(a, b, mask, 0xf8); }
  template <int kBits>
  static I Left(I v) {
    return _mm512_slli_epi32(v, kBits);
  }
  template <int kBits>
  static I Right(I v) {
    return _mm512_srli_epi32(v, kBits);
  }
  template <int kBits>
  static I Right32(I v) {
    return _mm512_srli_epi32(v, kBits);
  }
  static I LoadU8(const uint8_t* from) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static I LoadI8(const uint8_t* from) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static F LoadHalves(const void* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(from)));
  }
  static F Convert(I v) { return _mm512_cvtepi32_ps(v); }
  static F Zero() { return _mm512_setzero_ps(); }
  static F Set1(float v) { return _mm512_set1_ps(v); }
  static F Add(F a, F b) { return _mm512_add_ps(a, b); }
  static F Mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F Fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F Negate(F v) { return _mm512_xor_ps(v, _mm512_set1_ps(-0.0f)); }
  static F LoadF(const float* from) { return _mm512_loadu_ps(from); }
  static void StoreF(float* to, F v) { _mm512_storeu_ps(to, v); }
  static F LoadSome(const float* from, int count) {
    return _mm512_maskz_loadu_ps(First(count), from);
  }
  static void StoreSome(float* to, F v, int count) { _mm512_mask_storeu_ps(to, First(count), v); }

  static F LoadBf16(const void* from) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(from))), 16));
  }
  // To nearest even; a NaN keeps its high bits and becomes quiet.
  static F RoundBf16(F v) {
    const I bits = _mm512_castps_si512(v);
    const I odd = And(_mm512_srli_epi32(bits, 16), Set1(1));
    const I rounded = _mm512_add_epi32(_mm512_add_epi32(bits, Set1(0x7fff)), odd);
    const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    const I kept = _mm512_mask_or_epi32(rounded, nan, bits, Set1(0x400000));
    return _mm512_castsi512_ps(And(kept, Set1(static_cast<int32_t>(0xffff0000))));
  }
  static F RoundF16(F v) {
    return _mm512_cvtph_ps(_mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  // sums[r] of the lanes of acc[r][0]: l + (l + 8), l + (l + 4), l + (l + 2), l + (l + 1).
  static void ReduceFour(const F (*acc)[1], float* sums) {
    __m128 four[4];
    for (int r = 0; r < 4; ++r) {
      const __m256 eight =
          _mm256_add_ps(_mm512_castps512_ps256(acc[r][0]), _mm512_extractf32x8_ps(acc[r][0], 1));
      four[r] = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    }
    ReduceLanes(four, sums);
  }
  static void ReduceLanes(const __m128* four, float* sums) {
    const __m128 a =
        _mm_add_ps(_mm_unpacklo_ps(four[0], four[1]), _mm_unpackhi_ps(four[0], four[1]));
    const __m128 b =
        _mm_add_ps(_mm_unpacklo_ps(four[2], four[3]), _mm_unpackhi_ps(four[2], four[3]));
    _mm_storeu_ps(sums, _mm_add_ps(_mm_movelh_ps(a, b), _mm_movehl_ps(b, a)));
  }

  // sum[t] += codes(run) times x of token t, over the runs; tokens are 32 bytes apart. Pairs
  // are summed in 16 bits, as many runs as fit. Codes of 8 bits are taken as signed, 128 below.
  template <int kRuns, int kBits, int N, class Codes>
  static inline __attribute__((always_inline)) void Dot(const Codes& codes, const int8_t* x,
                                                        I* sum) {
    constexpr int kFit = kBits == 8 ? 1 : 32767 / (((1 << kBits) - 1) * 127 * 2);
    const I ones = _mm512_set1_epi16(1);
    BANYAN_UNROLL
    for (int first = 0; first < kRuns; first += kFit) {
      I pairs[N];
      BANYAN_UNROLL
      for (int i = 0; i < kFit && first + i < kRuns; ++i) {
        const I w = codes(first + i);
        BANYAN_UNROLL
        for (int t = 0; t < N; ++t) {
          const I four = Set1(FourCodes(x + 32 * t + 4 * (first + i)));
          const I product = kBits == 8 ? SignedPairs(w, four) : _mm512_maddubs_epi16(w, four);
          pairs[t] = i == 0 ? product : _mm512_add_epi16(pairs[t], product);
        }
      }
      BANYAN_UNROLL
      for (int t = 0; t < N; ++t) {
        sum[t] = _mm512_add_epi32(sum[t], _mm512_madd_epi16(pairs[t], ones));
      }
    }
  }
  // |code| times x with the code's sign: at most 128 * 127 * 2, which 16 bits hold.
  static I SignedPairs(I w, I four) {
    const I code = _mm512_xor_si512(w, Bytes(0x80));
    const I turned = _mm512_mask_sub_epi8(four, _mm512_movepi8_mask(code), ZeroI(), four);
    return _mm512_maddubs_epi16(_mm512_abs_epi8(code), turned);
  }

  // ops/reference/linear.h; returns d.
  static float QuantizeBlock(const float* x, int8_t* codes, int32_t* sums) {
    const F a = _mm512_loadu_ps(x);
    const F b = _mm512_loadu_ps(x + 16);
    // The bits of magnitudes order as the magnitudes do, infinity and NaN above all.
    const I sign = Set1(0x7fffffff);
    const I largest =
        _mm512_max_epu32(And(_mm512_castps_si512(a), sign), And(_mm512_castps_si512(b), sign));
    const uint32_t bits = _mm512_reduce_max_epu32(largest);
    const float amax = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(bits))));
    sums[0] = sums[1] = 0;
    if (bits >= 0x7f800000u || amax < 1e-36f) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), _mm256_setzero_si256());
      return bits >= 0x7f800000u ? __builtin_nanf("") : 0.0f;
    }
    const F inverse = Set1(127.0f / amax);
    const I qa = _mm512_cvtps_epi32(Mul(a, inverse));
    const I qb = _mm512_cvtps_epi32(Mul(b, inverse));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(codes), _mm512_cvtepi32_epi8(qa));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(codes + 16), _mm512_cvtepi32_epi8(qb));
    sums[0] = _mm512_reduce_add_epi32(qa);
    sums[1] = _mm512_reduce_add_epi32(qb);
    return amax / 127.0f;
  }
};

}  // namespace
}  // namespace banyan::kernels
