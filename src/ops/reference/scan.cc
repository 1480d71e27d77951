// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/op_table.h"

namespace banyan::ops {
namespace {

double Softplus(double x) { return x > 20.0 ? x : std::log1p(std::exp(x)); }

void Run(const ScanTask& t, int64_t begin, int64_t end) {
  for (int64_t row = 0; row < t.rows; ++row) {
    for (int64_t c = begin; c < end; ++c) {
      const double x = t.x[row * t.x_stride + c];
      const double dt = Softplus(t.dt[row * t.dt_stride + c]);
      double y = t.skip[c] * x;
      for (int64_t n = 0; n < t.state_dim; ++n) {
        float& s = t.state[c * t.state_dim + n];
        s = static_cast<float>(std::exp(dt * t.a[c * t.state_dim + n]) * s +
                               dt * x * t.b[row * t.b_stride + n]);
        y += double{s} * t.c[row * t.c_stride + n];
      }
      if (t.z != nullptr) {
        const double z = t.z[row * t.z_stride + c];
        y *= z / (1.0 + std::exp(-z));
      }
      t.out[row * t.out_stride + c] = static_cast<float>(y);
    }
  }
}

}  // namespace

void FillScanReference(OpTable& table) { table.scan = {Run}; }

}  // namespace banyan::ops
