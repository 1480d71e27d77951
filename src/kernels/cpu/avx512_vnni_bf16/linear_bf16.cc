// SPDX-License-Identifier: Apache-2.0
// bf16 weights by AVX512_BF16's dot product of pairs, with 16 partial sums as in f32.
#include "kernels/cpu/linear_floats_impl.h"
#include "kernels/cpu/linear_levels.h"
#include "kernels/cpu/linear_simd_avx512.h"

namespace banyan::kernels {
namespace {

struct PairDot {
  using X = uint16_t;
  using Pairs = __m512bh;
  static constexpr int kColumns = 2;
  static const X* Tokens(const FloatProduct& p) { return p.x_bf16; }
  static Pairs LoadX(const X* from) { return (Pairs)_mm512_loadu_si512(from); }
  template <DType kType>
  static Pairs LoadWeights(const uint8_t* from) {
    return (Pairs)_mm512_loadu_si512(from);
  }
  static __m512 Add(__m512 acc, Pairs w, Pairs x) { return _mm512_dpbf16_ps(acc, w, x); }
};

using Products = FloatKernels<Avx512, PairDot>;

}  // namespace

void avx512_vnni_bf16::Bf16(const FloatProduct& product, int64_t begin, int64_t end) {
  const int64_t last = end * kGroupRows;
  Products::Rows<DType::kBF16>(product, begin * kGroupRows,
                               last < product.rows ? last : product.rows);
}

void avx512_vnni_bf16::ToBf16(const float* from, int64_t n, uint16_t* to) {
  for (int64_t i = 0; i < n; i += 16) {
    const int count = n - i < 16 ? static_cast<int>(n - i) : 16;
    const __m256bh rounded = _mm512_cvtneps_pbh(Avx512::LoadSome(from + i, count));
    _mm256_mask_storeu_epi16(to + i, Avx512::First(count), (__m256i)rounded);
  }
}

}  // namespace banyan::kernels
