// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/linear.h"
#include "kernels/cpu/linear_floats_impl.h"
#include "kernels/cpu/linear_simd_avx2.h"

namespace banyan::kernels::avx2 {

void Floats(const FloatProduct& product, int64_t begin, int64_t end) {
  FloatKernels<Avx2>::Run(product, begin, end);
}

void Round(const float* from, int64_t n, DType compute, float* to) {
  FloatKernels<Avx2>::Round(from, n, compute, to);
}

}  // namespace banyan::kernels::avx2
