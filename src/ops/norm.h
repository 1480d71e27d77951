// SPDX-License-Identifier: Apache-2.0
// Normalizations over the last dimension. x and out: [n, dim] or [n, heads, dim] f32 (rows may be
// strided), out may be x.
#pragma once

#include "ops/context.h"

namespace banyan::ops {

// out = x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019). weight: [dim] f32, [heads,
// dim] where x has heads, or empty for none. A "+1" of Gemma is folded into the weight when it is
// loaded.
void RmsNorm(const OpContext& context, const Tensor& x, const Tensor& weight, float eps,
             const Tensor& out);

// residual += x, then out = RmsNorm(residual). [n, dim].
void AddRmsNorm(const OpContext& context, const Tensor& x, const Tensor& residual,
                const Tensor& weight, float eps, const Tensor& out);

// out = (x - mean) / sqrt(variance + eps) * weight + bias; weight and bias may be empty. weight may
// be [heads, dim] when x is [n, heads, dim] (per-head norms of Cohere and StableLM), and bias then
// too.
void LayerNorm(const OpContext& context, const Tensor& x, const Tensor& weight, const Tensor& bias,
               float eps, const Tensor& out);

}  // namespace banyan::ops
