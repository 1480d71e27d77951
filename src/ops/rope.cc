// SPDX-License-Identifier: Apache-2.0
#include "ops/rope.h"

#include <cmath>

#include "ops/parallel.h"
#include "ops/rows.h"

namespace banyan::ops {

void RopeAngles(const OpContext& context, std::span<const int32_t> positions,
                std::span<const float> frequencies, float scale, const Tensor& cos,
                const Tensor& sin) {
  const auto n = static_cast<int64_t>(positions.size());
  const auto half = static_cast<int64_t>(frequencies.size());
  BANYAN_DCHECK(cos.shape() == Shape({n, half}) && sin.shape() == cos.shape() &&
                    cos.IsContiguous() && sin.IsContiguous(),
                "RopeAngles: {} positions, {} frequencies, cos {}", n, half,
                cos.shape().ToString());
  float* cos_data = cos.data<float>();
  float* sin_data = sin.data<float>();
  ParallelItems(context, n, 25.0 * static_cast<double>(half), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto position = static_cast<float>(positions[i]);
      for (int64_t j = 0; j < half; ++j) {
        const float angle = position * frequencies[j];
        cos_data[i * half + j] = std::cos(angle) * scale;
        sin_data[i * half + j] = std::sin(angle) * scale;
      }
    }
  });
}

void Rope(const OpContext& context, const Tensor& x, const Tensor& cos, const Tensor& sin,
          RopePairing pairing) {
  const Rows rows = AsRows(x);
  const int64_t half = cos.dim(1);
  BANYAN_DCHECK(cos.dim(0) == rows.outer && cos.shape() == sin.shape() && cos.IsContiguous() &&
                    sin.IsContiguous() && 2 * half <= rows.dim,
                "Rope: x {}, cos {}", x.shape().ToString(), cos.shape().ToString());
  ParallelItems(context, rows.outer, 0.8 * static_cast<double>(rows.inner * half),
                [&](int64_t begin, int64_t end) {
                  context.table->rope.turn(rows, cos.data<float>(), sin.data<float>(), half,
                                           pairing, begin, end);
                });
}

}  // namespace banyan::ops
