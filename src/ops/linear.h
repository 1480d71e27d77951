// SPDX-License-Identifier: Apache-2.0
// Products with a weight matrix: y[n, rows] = x[n, cols] * W^T (+ bias), W in the packed form of
// the device's kernels.
//
// Arithmetic on the CPU, the same for every n (a decode step and a prefill give the same bits):
//   f32, and f16/bf16 weights with compute type f32: products and sums in f32.
//   f16/bf16 weights with compute type bf16/f16: x is rounded to that type, sums in f32.
//   GGML blocks: x is rounded per 32 elements to int8 with one f32 scale, block products are exact
//   integers, sums in f32 in the order of the blocks. (`compute` does not change these; with f32
//   goldens of quantized files see ops/reference.)
#pragma once

#include <span>

#include "ops/context.h"
#include "tensor/packed_weight.h"

namespace banyan::ops {

// Packs one matrix made of `parts` [rows_i, cols] stacked on top of each other (q, k, v; gate, up),
// all of one dtype. Reads the parts in place where the kernels can (PackedWeight::owned is then
// empty) and copies where a layout of our own is faster. `compute` is kF32, kBF16 or kF16.
// kUnimplemented names a dtype without a kernel. Thread-safe.
StatusOr<PackedWeight> PackLinear(const OpContext& context, std::span<const Tensor> parts,
                                  DType compute);

// x: [n, cols] f32, rows may be strided; bias: [rows] f32 or empty; out: [n, rows] f32.
void Linear(const OpContext& context, const Tensor& x, const PackedWeight& weight,
            const Tensor& bias, const Tensor& out);

// Rows of an embedding table as f32: out[i] = table[ids[i]]. `table` is [vocab, dim] in any
// checkpoint dtype, row major.
void EmbeddingLookup(const OpContext& context, std::span<const int32_t> ids, const Tensor& table,
                     const Tensor& out);

// Any checkpoint dtype to f32, bit-exact with GGML's dequantization. `from` and `to` are contiguous
// and of one shape.
void Dequantize(const Tensor& from, const Tensor& to);

}  // namespace banyan::ops
