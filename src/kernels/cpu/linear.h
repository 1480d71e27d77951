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

// Each level's, in its folder: the whole, and the members of LinearKernels that are files of their
// own.
namespace avx2 {
void FillLinear(ops::OpTable& table);
void Floats(const FloatProduct& product, int64_t begin, int64_t end);
void Round(const float* from, int64_t n, DType compute, float* to);
}  // namespace avx2
namespace avx512 {
void FillLinear(ops::OpTable& table);
void Floats(const FloatProduct& product, int64_t begin, int64_t end);
void Round(const float* from, int64_t n, DType compute, float* to);
}  // namespace avx512
namespace avx512_vnni_bf16 {
void FillLinear(ops::OpTable& table);
void Floats(const FloatProduct& product, int64_t begin, int64_t end);
void Round(const float* from, int64_t n, DType compute, float* to);
}  // namespace avx512_vnni_bf16
namespace amx {
void FillLinear(ops::OpTable& table);
void Floats(const FloatProduct& product, int64_t begin, int64_t end);
void Round(const float* from, int64_t n, DType compute, float* to);
}  // namespace amx

}  // namespace banyan::kernels
