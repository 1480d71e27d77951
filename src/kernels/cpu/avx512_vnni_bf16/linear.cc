// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/linear_blocks_impl.h"
#include "kernels/cpu/linear_levels.h"
#include "kernels/cpu/linear_simd_vnni.h"

namespace banyan::kernels::avx512_vnni_bf16 {

const LinearKernels kLinear = {
    BlockKernels<Vnni>::Quantize, BlockKernels<Vnni>::Run, Floats, Round, Bf16, ToBf16};

}  // namespace banyan::kernels::avx512_vnni_bf16
