// SPDX-License-Identifier: Apache-2.0
// Each level's matrix products, in the folder of its name: the whole, and the members that are
// files of their own.
#pragma once

#include "kernels/cpu/linear_kernels.h"

namespace banyan::kernels {

namespace avx2 {
extern const LinearKernels kLinear;
void Floats(const FloatProduct& product, int64_t begin, int64_t end);
void Round(const float* from, int64_t n, DType compute, float* to);
}  // namespace avx2

namespace avx512 {
extern const LinearKernels kLinear;
void Floats(const FloatProduct& product, int64_t begin, int64_t end);
void Round(const float* from, int64_t n, DType compute, float* to);
}  // namespace avx512

namespace avx512_vnni_bf16 {
extern const LinearKernels kLinear;
void Floats(const FloatProduct& product, int64_t begin, int64_t end);
void Round(const float* from, int64_t n, DType compute, float* to);
void Bf16(const FloatProduct& product, int64_t begin, int64_t end);
void ToBf16(const float* from, int64_t n, uint16_t* to);
}  // namespace avx512_vnni_bf16

namespace amx {
extern const LinearKernels kLinear;
void Bf16(const FloatProduct& product, int64_t begin, int64_t end);
}  // namespace amx

}  // namespace banyan::kernels
