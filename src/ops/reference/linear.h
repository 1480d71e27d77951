// SPDX-License-Identifier: Apache-2.0
// The portable products, and the arithmetic that every kernel level repeats (ops/linear.h), spelled
// out:
//
//   Blocks: each 32 elements of x become codes = round(x * (127 / amax)) to nearest even, d = amax
//   /
//     127, amax their largest magnitude (below 1e-36 all are 0; not finite: codes 0 and d = NaN, so
//     that the row's result says so). Then per group of elements with one weight scale, in order:
//     acc = fma(float(sum of code * code) * scale, d, acc), and for a format with mins
//     acc = fma(min, d * float(sum of x's codes), acc).
//   Floats: sixteen partial sums, sum l over the elements k with k % 16 == l, in order, by fma;
//   then
//     l + (l + 8), l + (l + 4), l + (l + 2), l + (l + 1).
//   The bias is added last.
#pragma once

#include "ops/linear.h"

namespace banyan::ops::reference {

// Codes and d of one row of x; cols a multiple of 32.
void QuantizeRow(const float* x, int64_t cols, int8_t* codes, float* d);

// Copies x and rounds it to bf16 or f16 (kF32: a plain copy).
void RoundRow(const float* x, int64_t cols, DType compute, float* rounded);

// Checks what every `pack` asks of its parts: one dtype, rank 2, equal cols, whole blocks, finite
// scales. Returns the stacked matrix without data.
StatusOr<PackedWeight> DescribeParts(std::span<const Tensor> parts, DType compute);

StatusOr<PackedWeight> Pack(const OpContext& context, std::span<const Tensor> parts, DType compute);
void Run(const OpContext& context, const float* x, int64_t x_stride, int64_t n,
         const PackedWeight& weight, const float* bias, float* out, int64_t out_stride);

}  // namespace banyan::ops::reference
