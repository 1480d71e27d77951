// SPDX-License-Identifier: Apache-2.0
// Rows of GGML blocks into groups of 16 (linear_kernels.h says how a group looks).
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cpu/linear_kernels.h"
#include "tensor/tensor.h"

namespace banyan::kernels {

// Group `group` of the matrix that `parts` [rows_i, cols] make stacked on top of each other; rows
// beyond the last are zero. `to` has LayoutOf(dtype).GroupBytes(cols) zeroed bytes.
void PackGroup(std::span<const Tensor> parts, int64_t group, uint8_t* to);

}  // namespace banyan::kernels
