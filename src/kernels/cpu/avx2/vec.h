// SPDX-License-Identifier: Apache-2.0
// Vec: eight floats, with the operations that kernels/cpu/generic is written in. avx512/vec.h is
// its twin and has the comments. For files of this folder only.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace banyan::kernels {
namespace {

struct Vec {
  using F = __m256;
  using I = __m256i;
  using M = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kBlockRows = 6;
  static constexpr int kBlockVecs = 2;

  static F Zero() { return _mm256_setzero_ps(); }
  static F Set(float x) { return _mm256_set1_ps(x); }
  static F Load(const float* p) { return _mm256_loadu_ps(p); }
  static void Store(float* p, F x) { _mm256_storeu_ps(p, x); }
  static I FirstLanes(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), IotaI());
  }
  static F LoadN(const float* p, int64_t n) { return _mm256_maskload_ps(p, FirstLanes(n)); }
  static void StoreN(float* p, F x, int64_t n) { _mm256_maskstore_ps(p, FirstLanes(n), x); }
  static F Iota() { return _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7); }

  static F Fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F Fnma(F a, F b, F c) { return _mm256_fnmadd_ps(a, b, c); }
  static F Max(F a, F b) { return _mm256_max_ps(a, b); }
  static F Min(F a, F b) { return _mm256_min_ps(a, b); }
  static F Round(F x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static F Abs(F x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
  static F CopySign(F size, F sign) {
    const F bit = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_and_ps(bit, sign), _mm256_andnot_ps(bit, size));
  }

  static M Less(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
  static M NotLess(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_NLT_UQ); }
  static M IsNan(F x) { return _mm256_cmp_ps(x, x, _CMP_UNORD_Q); }
  static M And(M a, M b) { return _mm256_and_ps(a, b); }
  static M Or(M a, M b) { return _mm256_or_ps(a, b); }
  static bool Any(M m) { return _mm256_movemask_ps(m) != 0; }
  static uint32_t Bits(M m) { return static_cast<uint32_t>(_mm256_movemask_ps(m)); }
  static F Select(M m, F yes, F no) { return _mm256_blendv_ps(no, yes, m); }
  static F ZeroUnless(M m, F x) { return _mm256_and_ps(m, x); }

  static F ScaleByPower(F x, F n) {
    // 2^(n - 1) is a normal number for all n allowed; the last doubling may reach infinity.
    const I exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(126));
    const F power = _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
    const F scaled = _mm256_mul_ps(x, power);
    return _mm256_add_ps(scaled, scaled);
  }

  static float ReduceAdd(F x) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
  }
  static float ReduceMax(F x) {
    __m128 max = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    max = _mm_max_ps(max, _mm_movehl_ps(max, max));
    return _mm_cvtss_f32(_mm_max_ss(max, _mm_movehdup_ps(max)));
  }

  struct D {
    __m256d low, high;
  };
  static D ZeroD() { return {_mm256_setzero_pd(), _mm256_setzero_pd()}; }
  static D AddD(D sum, F x) {
    return {_mm256_add_pd(sum.low, _mm256_cvtps_pd(_mm256_castps256_ps128(x))),
            _mm256_add_pd(sum.high, _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)))};
  }
  static double ReduceAddD(D x) {
    const __m256d sum = _mm256_add_pd(x.low, x.high);
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(sum), _mm256_extractf128_pd(sum, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
  }

  static F LoadBf16(const uint16_t* p) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }
  static F LoadF16(const uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  // The lower 16 bits of eight words.
  static __m128i Narrow(I words) {
    const I packed = _mm256_packus_epi32(words, words);
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
  }
  static void StoreBf16(uint16_t* p, F x) {
    const I bits = _mm256_castps_si256(x);
    const I odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const I rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    const I quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    const I nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const I result = _mm256_blendv_epi8(rounded, quiet, nan);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), Narrow(_mm256_srli_epi32(result, 16)));
  }
  static void StoreF16(uint16_t* p, F x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }

  static F LoadFours(const char* const* rows, int64_t offset) {
    const auto four = [&](int i) {
      return _mm_loadu_ps(reinterpret_cast<const float*>(rows[i] + offset));
    };
    return _mm256_insertf128_ps(_mm256_castps128_ps256(four(0)), four(4), 1);
  }
  static void TransposeFours(F& a, F& b, F& c, F& d) {
    const F t0 = _mm256_unpacklo_ps(a, b);
    const F t1 = _mm256_unpackhi_ps(a, b);
    const F t2 = _mm256_unpacklo_ps(c, d);
    const F t3 = _mm256_unpackhi_ps(c, d);
    a = _mm256_shuffle_ps(t0, t2, 0x44);
    b = _mm256_shuffle_ps(t0, t2, 0xee);
    c = _mm256_shuffle_ps(t1, t3, 0x44);
    d = _mm256_shuffle_ps(t1, t3, 0xee);
  }
  static F LowBf16(F words) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(words), 16));
  }
  static F HighBf16(F words) {
    return _mm256_and_ps(words,
                         _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(0xffff0000u))));
  }
  static F LowF16(F words) {
    return _mm256_cvtph_ps(
        Narrow(_mm256_and_si256(_mm256_castps_si256(words), _mm256_set1_epi32(0xffff))));
  }
  static F HighF16(F words) {
    return _mm256_cvtph_ps(Narrow(_mm256_srli_epi32(_mm256_castps_si256(words), 16)));
  }

  static void Deinterleave(F low, F high, F& x, F& y) {
    const F a = _mm256_permute2f128_ps(low, high, 0x20);
    const F b = _mm256_permute2f128_ps(low, high, 0x31);
    x = _mm256_shuffle_ps(a, b, 0x88);
    y = _mm256_shuffle_ps(a, b, 0xdd);
  }
  static void Interleave(F x, F y, F& low, F& high) {
    const F a = _mm256_unpacklo_ps(x, y);
    const F b = _mm256_unpackhi_ps(x, y);
    low = _mm256_permute2f128_ps(a, b, 0x20);
    high = _mm256_permute2f128_ps(a, b, 0x31);
  }

  static I SetI(uint32_t x) { return _mm256_set1_epi32(static_cast<int>(x)); }
  static I IotaI() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
  static I AddI(I a, I b) { return _mm256_add_epi32(a, b); }
  static I MulI(I a, I b) { return _mm256_mullo_epi32(a, b); }
  static I XorI(I a, I b) { return _mm256_xor_si256(a, b); }
  static I AndI(I a, I b) { return _mm256_and_si256(a, b); }
  static I OrI(I a, I b) { return _mm256_or_si256(a, b); }
  template <int kBits>
  static I ShiftRight(I x) {
    return _mm256_srli_epi32(x, kBits);
  }
  template <int kBits>
  static I ShiftLeft(I x) {
    return _mm256_slli_epi32(x, kBits);
  }
  template <int kBits>
  static I RotateLeft(I x) {
    return _mm256_or_si256(_mm256_slli_epi32(x, kBits), _mm256_srli_epi32(x, 32 - kBits));
  }
  static F ToFloat(I x) { return _mm256_cvtepi32_ps(x); }
  static F Cast(I x) { return _mm256_castsi256_ps(x); }
  static I Cast(F x) { return _mm256_castps_si256(x); }
};

}  // namespace
}  // namespace banyan::kernels
