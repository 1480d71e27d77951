// SPDX-License-Identifier: Apache-2.0
// Random matrices of every format, for tests and benchmarks of products.
#pragma once

#include <cstring>
#include <random>
#include <vector>

#include "ops/reference/half.h"
#include "tensor/tensor.h"

namespace banyan::kernels {

// Where the halves of a block lie; all other bytes may be anything.
inline std::vector<int> HalvesAt(DType dtype) {
  switch (dtype) {
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ2_K:
      return {80, 82};
    case DType::kQ3_K:
      return {108};
    case DType::kQ6_K:
      return {208};
    default:
      return {0};
  }
}

struct Matrix {
  std::vector<std::byte> bytes;
  Tensor tensor;
};

inline Matrix RandomMatrix(DType dtype, int64_t rows, int64_t cols, std::mt19937& random) {
  Matrix matrix;
  matrix.bytes.resize(static_cast<std::size_t>(Bytes(dtype, rows * cols)));
  std::normal_distribution<float> normal(0.0f, 0.05f);
  std::byte* at = matrix.bytes.data();
  if (IsQuantized(dtype)) {
    const int size = Info(dtype).block_bytes;
    for (std::byte& byte : matrix.bytes) byte = static_cast<std::byte>(random());
    for (std::size_t b = 0; b < matrix.bytes.size(); b += static_cast<std::size_t>(size)) {
      for (int offset : HalvesAt(dtype)) {
        const uint16_t half = ops::ToF16(normal(random));
        std::memcpy(at + b + offset, &half, 2);
      }
    }
  } else {
    for (int64_t i = 0; i < rows * cols; ++i) {
      const float value = normal(random);
      const uint16_t two = dtype == DType::kF16 ? ops::ToF16(value) : ops::ToBf16(value);
      if (dtype == DType::kF32) {
        std::memcpy(at + 4 * i, &value, 4);
      } else {
        std::memcpy(at + 2 * i, &two, 2);
      }
    }
  }
  matrix.tensor = Tensor(at, dtype, {rows, cols});
  return matrix;
}

}  // namespace banyan::kernels
