// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/linear_blocks_impl.h"
#include "kernels/cpu/linear_levels.h"
#include "kernels/cpu/linear_simd_avx2.h"

namespace banyan::kernels::avx2 {

const LinearKernels kLinear = {BlockKernels<Avx2>::Quantize, BlockKernels<Avx2>::Run, Floats,
                               Round};

}  // namespace banyan::kernels::avx2
