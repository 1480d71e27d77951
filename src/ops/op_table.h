// SPDX-License-Identifier: Apache-2.0
// OpTable: which kernel each op calls, chosen once per executor.
//
// A table is a plain struct of typed function pointers over raw pointers and sizes. ops/reference fills every entry with portable code;
// kernels/cpu then overrides what it has for each CPU feature level up to the one in force, in order (avx2, avx512, ...). A call only reads
// the table. Adding a kernel: one file in kernels/, one line in that level's Fill function.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/status.h"
#include "tensor/packed_weight.h"
#include "tensor/tensor.h"

namespace banyan::ops {

struct OpContext;

enum class IsaLevel : uint8_t { kReference, kAvx2, kAvx512, kAvx512VnniBf16, kAmx };
std::string_view Name(IsaLevel level);  // as --cpu-isa spells it: reference, avx2, avx512, avx512_vnni_bf16, amx

// How one checkpoint dtype is packed and multiplied.
struct LinearKernel {
  StatusOr<PackedWeight> (*pack)(const OpContext& context, std::span<const Tensor> parts, DType compute) = nullptr;
  void (*run)(const OpContext& context, const float* x, int64_t x_stride, int64_t n, const PackedWeight& weight,
              const float* bias, float* out, int64_t out_stride) = nullptr;
};

struct OpTable {
  IsaLevel level = IsaLevel::kReference;
  LinearKernel linear[static_cast<int>(DType::kCount)];  // by the weight's dtype
};

void FillReference(OpTable& table);  // ops/reference

}  // namespace banyan::ops
