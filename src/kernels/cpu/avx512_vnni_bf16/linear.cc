// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/linear.h"

#include "kernels/cpu/linear_blocks_impl.h"
#include "kernels/cpu/linear_simd_vnni.h"

namespace banyan::kernels {
namespace {

constexpr LinearKernels kKernels = {BlockKernels<Vnni>::Quantize, BlockKernels<Vnni>::Run,
                                    avx512_vnni_bf16::Floats, avx512_vnni_bf16::Round};

}  // namespace

void avx512_vnni_bf16::FillLinear(ops::OpTable& table) { SetLinear(table, &kKernels); }

}  // namespace banyan::kernels
