// SPDX-License-Identifier: Apache-2.0
// Rows of GGML blocks into groups of 16 (linear_kernels.h says how a group looks).
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cpu/linear_kernels.h"

namespace banyan::kernels {

// One group from up to 16 rows, each the address of its first block; the others are zero. `to` has
// LayoutOf(dtype).GroupBytes(cols) zeroed bytes.
void PackGroup(DType dtype, std::span<const void* const> rows, int64_t cols, uint8_t* to);

}  // namespace banyan::kernels
