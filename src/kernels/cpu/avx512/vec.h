// SPDX-License-Identifier: Apache-2.0
// Vec: sixteen floats, with the operations that kernels/cpu/generic is written in. avx2/vec.h is
// its twin. For files of this folder only.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace banyan::kernels {
namespace {

struct Vec {
  using F = __m512;
  using I = __m512i;
  using M = __mmask16;
  static constexpr int kLanes = 16;
  // Register blocks of small matrix products: kBlockRows x kBlockVecs sums.
  static constexpr int kBlockRows = 6;
  static constexpr int kBlockVecs = 4;

  static F Zero() { return _mm512_setzero_ps(); }
  static F Set(float x) { return _mm512_set1_ps(x); }
  static F Load(const float* p) { return _mm512_loadu_ps(p); }
  static void Store(float* p, F x) { _mm512_storeu_ps(p, x); }
  static M First(int64_t n) { return static_cast<M>(_bzhi_u32(0xffff, static_cast<uint32_t>(n))); }
  // The first n < kLanes lanes; the others are 0, or left in memory as they are.
  static F LoadN(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(First(n), p); }
  static void StoreN(float* p, F x, int64_t n) { _mm512_mask_storeu_ps(p, First(n), x); }
  static F Iota() { return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }

  static F Fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }    // a * b + c
  static F Fnma(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }  // c - a * b
  static F Max(F a, F b) { return _mm512_max_ps(a, b); }              // b where either is NaN
  static F Min(F a, F b) { return _mm512_min_ps(a, b); }
  static F Round(F x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static F Abs(F x) { return _mm512_abs_ps(x); }
  static F CopySign(F size, F sign) {
    const I bit = _mm512_set1_epi32(static_cast<int>(0x80000000u));
    return _mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(bit, _mm512_castps_si512(sign), _mm512_castps_si512(size), 0xca));
  }

  static M Less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static M NotLess(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ); }  // true for NaN
  static M IsNan(F x) { return _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q); }
  static M And(M a, M b) { return a & b; }
  static M Or(M a, M b) { return a | b; }
  static bool Any(M m) { return m != 0; }
  static uint32_t Bits(M m) { return m; }
  static F Select(M m, F yes, F no) { return _mm512_mask_blend_ps(m, no, yes); }
  static F ZeroUnless(M m, F x) { return _mm512_maskz_mov_ps(m, x); }

  // x * 2^n for whole n in [-125, 128].
  static F ScaleByPower(F x, F n) { return _mm512_scalef_ps(x, n); }

  // Lanes are added pairwise in an order of their own, always the same.
  static float ReduceAdd(F x) { return _mm512_reduce_add_ps(x); }
  static float ReduceMax(F x) { return _mm512_reduce_max_ps(x); }

  // Sums in f64, two halves of the lanes.
  struct D {
    __m512d low, high;
  };
  static D ZeroD() { return {_mm512_setzero_pd(), _mm512_setzero_pd()}; }
  static D AddD(D sum, F x) {
    return {_mm512_add_pd(sum.low, _mm512_cvtps_pd(_mm512_castps512_ps256(x))),
            _mm512_add_pd(sum.high, _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)))};
  }
  static double ReduceAddD(D x) { return _mm512_reduce_add_pd(_mm512_add_pd(x.low, x.high)); }

  static F LoadBf16(const uint16_t* p) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
  static F LoadF16(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static void StoreBf16(uint16_t* p, F x) {
    const I bits = _mm512_castps_si512(x);
    const I odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    I rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    const M nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
  }
  static void StoreF16(uint16_t* p, F x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }

  // For transposing: lane group g (four lanes) holds four 32-bit words of rows[4 * g].
  static F LoadFours(const char* const* rows, int64_t offset) {
    const auto four = [&](int i) {
      return _mm_loadu_ps(reinterpret_cast<const float*>(rows[i] + offset));
    };
    F x = _mm512_castps128_ps512(four(0));
    x = _mm512_insertf32x4(x, four(4), 1);
    x = _mm512_insertf32x4(x, four(8), 2);
    return _mm512_insertf32x4(x, four(12), 3);
  }
  // Four words per lane group of four vectors, transposed within each group.
  static void TransposeFours(F& a, F& b, F& c, F& d) {
    const F t0 = _mm512_unpacklo_ps(a, b);
    const F t1 = _mm512_unpackhi_ps(a, b);
    const F t2 = _mm512_unpacklo_ps(c, d);
    const F t3 = _mm512_unpackhi_ps(c, d);
    a = _mm512_shuffle_ps(t0, t2, 0x44);
    b = _mm512_shuffle_ps(t0, t2, 0xee);
    c = _mm512_shuffle_ps(t1, t3, 0x44);
    d = _mm512_shuffle_ps(t1, t3, 0xee);
  }
  // The lower and the upper 16 bits of each word, as f32.
  static F LowBf16(F words) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(words), 16));
  }
  static F HighBf16(F words) {
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(words),
                                                _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
  }
  static F LowF16(F words) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_castps_si512(words)));
  }
  static F HighF16(F words) {
    return _mm512_cvtph_ps(
        _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(words), 16)));
  }

  // Pairs (x0 y0 x1 y1 ...) of two vectors apart and together again.
  static void Deinterleave(F low, F high, F& x, F& y) {
    const I even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    x = _mm512_permutex2var_ps(low, even, high);
    y = _mm512_permutex2var_ps(low, _mm512_add_epi32(even, _mm512_set1_epi32(1)), high);
  }
  static void Interleave(F x, F y, F& low, F& high) {
    const I first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    low = _mm512_permutex2var_ps(x, first, y);
    high = _mm512_permutex2var_ps(x, _mm512_add_epi32(first, _mm512_set1_epi32(8)), y);
  }

  // 32-bit integers, for hashing.
  static I SetI(uint32_t x) { return _mm512_set1_epi32(static_cast<int>(x)); }
  static I IotaI() {
    return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  }
  static I AddI(I a, I b) { return _mm512_add_epi32(a, b); }
  static I MulI(I a, I b) { return _mm512_mullo_epi32(a, b); }
  static I XorI(I a, I b) { return _mm512_xor_si512(a, b); }
  static I AndI(I a, I b) { return _mm512_and_si512(a, b); }
  static I OrI(I a, I b) { return _mm512_or_si512(a, b); }
  template <int kBits>
  static I ShiftRight(I x) {
    return _mm512_srli_epi32(x, kBits);
  }
  template <int kBits>
  static I ShiftLeft(I x) {
    return _mm512_slli_epi32(x, kBits);
  }
  template <int kBits>
  static I RotateLeft(I x) {
    return _mm512_rol_epi32(x, kBits);
  }
  static F ToFloat(I x) { return _mm512_cvtepi32_ps(x); }  // signed
  static F Cast(I x) { return _mm512_castsi512_ps(x); }
  static I Cast(F x) { return _mm512_castps_si512(x); }
};

}  // namespace
}  // namespace banyan::kernels
