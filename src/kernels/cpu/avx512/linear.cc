// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/linear_blocks_impl.h"
#include "kernels/cpu/linear_levels.h"
#include "kernels/cpu/linear_simd_avx512.h"

namespace banyan::kernels::avx512 {

const LinearKernels kLinear = {BlockKernels<Avx512>::Quantize, BlockKernels<Avx512>::Run, Floats,
                               Round};

}  // namespace banyan::kernels::avx512
