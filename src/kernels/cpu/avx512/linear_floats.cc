// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/linear_floats_impl.h"
#include "kernels/cpu/linear_levels.h"
#include "kernels/cpu/linear_simd_avx512.h"

namespace banyan::kernels {
namespace {
using Products = FloatKernels<Avx512, F32Dot<Avx512>>;
}

namespace avx512 {

void Floats(const FloatProduct& product, int64_t begin, int64_t end) {
  Products::Run(product, begin, end);
}

void Round(const float* from, int64_t n, DType compute, float* to) {
  Products::Round(from, n, compute, to);
}

}  // namespace avx512
}  // namespace banyan::kernels
