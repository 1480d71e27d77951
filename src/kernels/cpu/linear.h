// SPDX-License-Identifier: Apache-2.0
// Matrix products on the CPU: packing, and the drivers that quantize x, split the rows over the
// pool and call the level's kernels (linear_kernels.h).
#pragma once

#include "kernels/cpu/linear_kernels.h"
#include "ops/op_table.h"

namespace banyan::kernels {

inline constexpr int kGroupedLayout = 1;  // PackedWeight::layout of packed blocks

// Lets `table` use `kernels` for every format; `kernels` is static.
void SetLinear(ops::OpTable& table, const LinearKernels* kernels);

}  // namespace banyan::kernels
