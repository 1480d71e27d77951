// SPDX-License-Identifier: Apache-2.0
// Element and block types of tensors. The quantized types are GGML's blocks, bit for bit (a block
// holds `block_elements` consecutive elements of one row); a scheme whose scales lie in tensors of
// their own (weights/schemes) uses the plain types.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace banyan {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kF64,
  kI8,
  kI16,
  kI32,
  kI64,
  kU8,
  kBool,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kCount,
};

struct DTypeInfo {
  std::string_view name;  // "bf16", "q4_K"
  int block_elements;     // 1 for plain types
  int block_bytes;
};

const DTypeInfo& Info(DType dtype);
inline std::string_view Name(DType dtype) { return Info(dtype).name; }
inline bool IsQuantized(DType dtype) { return dtype >= DType::kQ4_0 && dtype < DType::kCount; }
inline bool IsFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 ||
         dtype == DType::kF64;
}
// Bytes of `elements` consecutive elements; `elements` is a multiple of block_elements.
inline int64_t Bytes(DType dtype, int64_t elements) {
  const DTypeInfo& info = Info(dtype);
  return elements / info.block_elements * info.block_bytes;
}

}  // namespace banyan
