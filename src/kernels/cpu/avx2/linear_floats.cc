// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/linear_floats_impl.h"
#include "kernels/cpu/linear_levels.h"
#include "kernels/cpu/linear_simd_avx2.h"

namespace banyan::kernels {
namespace {
using Products = FloatKernels<Avx2, F32Dot<Avx2>>;
}

namespace avx2 {

void Floats(const FloatProduct& product, int64_t begin, int64_t end) {
  Products::Run(product, begin, end);
}

void Round(const float* from, int64_t n, DType compute, float* to) {
  Products::Round(from, n, compute, to);
}

}  // namespace avx2
}  // namespace banyan::kernels
