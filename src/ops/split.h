// SPDX-License-Identifier: Apache-2.0
// Numbers as sums of shorter ones: what a cache of f32 or bf16 holds without a loss.
#pragma once

#include "ops/context.h"

namespace banyan::ops {

inline constexpr int kSplitParts = 3;

// out[i, j, 0..2]: numbers of bf16 whose sum is x[i, j]: 8 bits each, the highest first. An
// infinity or what is no number goes into the first, with zeros beside it. x: [n, heads] f32; out:
// [n, heads, 3] f32, rows may be strided.
void SplitToBf16(const OpContext& context, const Tensor& x, const Tensor& out);

}  // namespace banyan::ops
