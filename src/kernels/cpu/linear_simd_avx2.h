// SPDX-License-Identifier: Apache-2.0
// The vector that linear_blocks_impl.h and linear_floats_impl.h are written for, in AVX2.
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

struct Avx2 {
  static constexpr int kLanes = 8;
  static constexpr bool kTiles = false;  // whether panels are multiplied by MultiplyTile
  // Dot's kinds of codes; 0: each width is its own.
  static constexpr int kCodeBits = 0;
  static constexpr bool kSignedBytes = true;  // how Dot takes codes of 8 bits
  static constexpr int kDirectTokens = 4;     // more take panels
  static constexpr int kPanelTokens = 4;
  static constexpr int kTileTokens = 16;
  static constexpr int kFloatTokens = 3;
  using I = __m256i;
  using F = __m256;

  static I First(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }

  static I Load(const void* from) { return _mm256_loadu_si256(static_cast<const I*>(from)); }
  static void Store(void* to, I v) { _mm256_storeu_si256(static_cast<I*>(to), v); }
  static I ZeroI() { return _mm256_setzero_si256(); }
  static I Set1(int32_t v) { return _mm256_set1_epi32(v); }
  static I Bytes(int v) { return _mm256_set1_epi8(static_cast<char>(v)); }
  static I And(I a, I b) { return _mm256_and_si256(a, b); }
  static I SubBytes(I a, I b) { return _mm256_sub_epi8(a, b); }
  static I OrAnd(I a, I b, I mask) { return _mm256_or_si256(a, _mm256_and_si256(b, mask)); }
  template <int kBits>
  static I Left(I v) {
    return _mm256_slli_epi32(v, kBits);
  }
  template <int kBits>
  static I Right(I v) {
    return _mm256_srli_epi32(v, kBits);
  }
  template <int kBits>
  static I Right32(I v) {
    return _mm256_srli_epi32(v, kBits);
  }
  static I LoadU8(const uint8_t* from) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
  }
  static I LoadI8(const uint8_t* from) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
  }
  static F LoadHalves(const void* from) {
    return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(from)));
  }
  static F Convert(I v) { return _mm256_cvtepi32_ps(v); }
  static F Zero() { return _mm256_setzero_ps(); }
  static F Set1(float v) { return _mm256_set1_ps(v); }
  static F Add(F a, F b) { return _mm256_add_ps(a, b); }
  static F Mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F Fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F Negate(F v) { return _mm256_xor_ps(v, _mm256_set1_ps(-0.0f)); }
  static F LoadF(const float* from) { return _mm256_loadu_ps(from); }
  static void StoreF(float* to, F v) { _mm256_storeu_ps(to, v); }
  static F LoadSome(const float* from, int count) { return _mm256_maskload_ps(from, First(count)); }
  static void StoreSome(float* to, F v, int count) { _mm256_maskstore_ps(to, First(count), v); }

  static F LoadBf16(const void* from) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(
        _mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(from))), 16));
  }
  // To nearest even; a NaN keeps its high bits and becomes quiet.
  static F RoundBf16(F v) {
    const I bits = _mm256_castps_si256(v);
    const I odd = And(_mm256_srli_epi32(bits, 16), Set1(1));
    const I rounded = _mm256_add_epi32(_mm256_add_epi32(bits, Set1(0x7fff)), odd);
    const F quiet = _mm256_castsi256_ps(_mm256_or_si256(bits, Set1(0x400000)));
    const F kept =
        _mm256_blendv_ps(_mm256_castsi256_ps(rounded), quiet, _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    return _mm256_and_ps(kept, _mm256_castsi256_ps(Set1(static_cast<int32_t>(0xffff0000))));
  }
  static F RoundF16(F v) {
    return _mm256_cvtph_ps(_mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  // sums[r] of the lanes of acc[r]: l + (l + 8), l + (l + 4), l + (l + 2), l + (l + 1).
  static void ReduceFour(const F (*acc)[2], float* sums) {
    __m128 four[4];
    for (int r = 0; r < 4; ++r) {
      const F eight = Add(acc[r][0], acc[r][1]);
      four[r] = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    }
    const __m128 a =
        _mm_add_ps(_mm_unpacklo_ps(four[0], four[1]), _mm_unpackhi_ps(four[0], four[1]));
    const __m128 b =
        _mm_add_ps(_mm_unpacklo_ps(four[2], four[3]), _mm_unpackhi_ps(four[2], four[3]));
    _mm_storeu_ps(sums, _mm_add_ps(_mm_movelh_ps(a, b), _mm_movehl_ps(b, a)));
  }

  static int32_t SumLanes(I v) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtsi128_si32(s);
  }

  // sum[t] += codes(run) times x of token t, over the runs; tokens are 32 bytes apart. Pairs
  // are summed in 16 bits, as many runs as fit. Codes of 8 bits are taken as signed, 128 below.
  template <int kRuns, int kBits, int N, class Codes>
  static inline __attribute__((always_inline)) void Dot(const Codes& codes, const int8_t* x,
                                                        I* sum) {
    constexpr int kFit = kBits == 8 ? 1 : 32767 / (((1 << kBits) - 1) * 127 * 2);
    const I ones = _mm256_set1_epi16(1);
    BANYAN_UNROLL
    for (int first = 0; first < kRuns; first += kFit) {
      I pairs[N];
      BANYAN_UNROLL
      for (int i = 0; i < kFit && first + i < kRuns; ++i) {
        const I w = codes(first + i);
        BANYAN_UNROLL
        for (int t = 0; t < N; ++t) {
          const I four = Set1(FourCodes(x + 32 * t + 4 * (first + i)));
          const I product = kBits == 8 ? SignedPairs(w, four) : _mm256_maddubs_epi16(w, four);
          pairs[t] = i == 0 ? product : _mm256_add_epi16(pairs[t], product);
        }
      }
      BANYAN_UNROLL
      for (int t = 0; t < N; ++t) {
        sum[t] = _mm256_add_epi32(sum[t], _mm256_madd_epi16(pairs[t], ones));
      }
    }
  }
  // |code| times x with the code's sign: at most 128 * 127 * 2, which 16 bits hold.
  static I SignedPairs(I w, I four) {
    const I code = _mm256_xor_si256(w, Bytes(0x80));
    return _mm256_maddubs_epi16(_mm256_abs_epi8(code), _mm256_sign_epi8(four, code));
  }

  // ops/reference/linear.h; returns d.
  static float QuantizeBlock(const float* x, int8_t* codes, int32_t* sums) {
    F v[4];
    I largest = _mm256_setzero_si256();
    for (int i = 0; i < 4; ++i) {
      v[i] = _mm256_loadu_ps(x + 8 * i);
      // The bits of magnitudes order as the magnitudes do, infinity and NaN above all.
      largest = _mm256_max_epu32(largest, And(_mm256_castps_si256(v[i]), Set1(0x7fffffff)));
    }
    __m128i m =
        _mm_max_epu32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
    const auto bits = static_cast<uint32_t>(_mm_cvtsi128_si32(m));
    const float amax = _mm_cvtss_f32(_mm_castsi128_ps(m));
    sums[0] = sums[1] = 0;
    if (bits >= 0x7f800000u || amax < 1e-36f) {
      Store(codes, _mm256_setzero_si256());
      return bits >= 0x7f800000u ? __builtin_nanf("") : 0.0f;
    }
    const F inverse = Set1(127.0f / amax);
    I q[4];
    for (int i = 0; i < 4; ++i) q[i] = _mm256_cvtps_epi32(Mul(v[i], inverse));
    sums[0] = SumLanes(_mm256_add_epi32(q[0], q[1]));
    sums[1] = SumLanes(_mm256_add_epi32(q[2], q[3]));
    const I packed =
        _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    Store(codes, _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
    return amax / 127.0f;
  }
};

}  // namespace
}  // namespace banyan::kernels
