// SPDX-License-Identifier: Apache-2.0
// PackedWeight: a matrix in the form that one device's kernels read. A weight scheme makes it
// (weights/schemes) with the kernels' packing functions; ops/linear.h consumes it. Nobody else
// looks inside.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/buffer.h"
#include "tensor/tensor.h"

namespace banyan {

// y[n, rows] = x[n, cols] * W^T. `rows` are output features, `cols` input features, before any
// padding.
struct PackedWeight {
  int64_t rows = 0;
  int64_t cols = 0;
  DType format = DType::kF32;   // the checkpoint's format, which fixes the arithmetic
  DType compute = DType::kF32;  // what x is rounded to where the format is f16 or bf16
  int layout = 0;  // the kernel family's layout id; 0 = as in the checkpoint (row major)
  Tensor data;     // the packed bytes; points into `owned` or into the mapped checkpoint
  Tensor scales;   // where the layout keeps scales apart, else empty
  std::vector<Buffer>
      owned;  // memory that packing allocated; empty when the checkpoint is read in place
};

}  // namespace banyan
