// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/op_table.h"

namespace banyan::ops {
namespace {

void Run(const ConvTask& t, int64_t begin, int64_t end) {
  const int64_t before = t.kernel - 1;
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t c = 0; c < t.channels; ++c) {
      double sum = t.bias == nullptr ? 0.0 : t.bias[c];
      for (int64_t j = 0; j < t.kernel; ++j) {
        const int64_t i = row - before + j;
        double x = 0.0;
        if (i >= 0) {
          x = t.x[i * t.x_stride + c];
        } else if (t.history != nullptr) {
          x = t.history[(before + i) * t.channels + c];
        }
        sum += t.weight[j * t.channels + c] * x;
      }
      if (t.silu) sum /= 1.0 + std::exp(-sum);
      t.out[row * t.out_stride + c] = static_cast<float>(sum);
    }
  }
}

}  // namespace

void FillConvReference(OpTable& table) { table.conv = {Run}; }

}  // namespace banyan::ops
