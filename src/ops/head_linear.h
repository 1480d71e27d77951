// SPDX-License-Identifier: Apache-2.0
// Products of each head with a matrix of its own, as latent attention has them: what kv_b's rows
// of one head do to that head's query and to what it gathered (nn/mla.h).
#pragma once

#include "ops/context.h"
#include "ops/moe.h"

namespace banyan::ops {

// out[i, h] = matrix.experts[first + h] * x[i, h]. x: [n, heads, cols] f32, out: [n, heads, rows]
// f32, rows of either may be strided; they do not overlap. Arithmetic as ops/linear.h says.
void HeadLinear(const OpContext& context, const Tensor& x, const ExpertMatrix& matrix,
                int64_t first, const Tensor& out);

}  // namespace banyan::ops
