// SPDX-License-Identifier: Apache-2.0
// From tensors to what kernels take: for the entries of this layer.
#pragma once

#include "ops/op_table.h"

namespace banyan::ops {

// x: [n, dim] or [n, heads, dim] f32, the last dimension contiguous.
inline Rows AsRows(const Tensor& x) {
  BANYAN_DCHECK(x.dtype() == DType::kF32 && (x.rank() == 2 || x.rank() == 3) && x.stride(-1) == 1,
                "an op takes f32 rows, not {} {}", Name(x.dtype()), x.shape().ToString());
  if (x.rank() == 2) return {x.data<float>(), x.dim(0), 1, x.stride(0), 0, x.dim(1)};
  return {x.data<float>(), x.dim(0), x.dim(1), x.stride(0), x.stride(1), x.dim(2)};
}

inline bool SameRows(const Rows& a, const Rows& b) {
  return a.outer == b.outer && a.inner == b.inner && a.dim == b.dim;
}

inline const float* DataOrNull(const Tensor& x) { return x.empty() ? nullptr : x.data<float>(); }

}  // namespace banyan::ops
