// SPDX-License-Identifier: Apache-2.0
// Walking rows a vector at a time, with a masked rest.
#pragma once

#include "ops/op_table.h"

namespace banyan::kernels {

// fn(row pointers...) for rows [begin, end) of views with the same outer and inner sizes.
template <class Fn, class... R>
inline void ForRows(int64_t begin, int64_t end, Fn&& fn, const ops::Rows& first, const R&... rest) {
  const int64_t inner = first.inner;
  int64_t i = begin / inner;
  int64_t j = begin - i * inner;
  for (int64_t row = begin; row < end; ++row) {
    fn(j, first.data + i * first.outer_stride + j * first.inner_stride,
       rest.data + i * rest.outer_stride + j * rest.inner_stride...);
    if (++j == inner) {
      j = 0;
      ++i;
    }
  }
}

// to[i] = fn(vectors of from[i]...) for i < dim.
template <class V, class Fn, class... P>
inline void MapRow(int64_t dim, float* to, Fn&& fn, const P*... from) {
  int64_t i = 0;
  for (; i + V::kLanes <= dim; i += V::kLanes) V::Store(to + i, fn(V::Load(from + i)...));
  if (i < dim) V::StoreN(to + i, fn(V::LoadN(from + i, dim - i)...), dim - i);
}

}  // namespace banyan::kernels
