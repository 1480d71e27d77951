// SPDX-License-Identifier: Apache-2.0
// Normalizations with sums in f64, as plainly as the formulas read.
#include <cmath>

#include "ops/op_table.h"

namespace banyan::ops {
namespace {

void NormalizeRms(const float* x, const float* weight, float eps, int64_t dim, float* out) {
  double squares = 0.0;
  for (int64_t i = 0; i < dim; ++i) squares += static_cast<double>(x[i]) * x[i];
  const auto factor = static_cast<float>(1.0 / std::sqrt(squares / static_cast<double>(dim) + eps));
  for (int64_t i = 0; i < dim; ++i) out[i] = x[i] * factor * (weight == nullptr ? 1.0f : weight[i]);
}

void Rms(const Rows& x, const float* weight, int64_t affine_stride, float eps, const Rows& out,
         int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float* w = weight == nullptr ? nullptr : weight + row % x.inner * affine_stride;
    NormalizeRms(x.at(row), w, eps, x.dim, out.at(row));
  }
}

void AddRms(const Rows& x, const Rows& residual, const float* weight, float eps, const Rows& out,
            int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float* in = x.at(row);
    float* sum = residual.at(row);
    for (int64_t i = 0; i < x.dim; ++i) sum[i] += in[i];
    NormalizeRms(sum, weight, eps, x.dim, out.at(row));
  }
}

void Layer(const Rows& x, const float* weight, const float* bias, int64_t affine_stride, float eps,
           const Rows& out, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float* in = x.at(row);
    float* to = out.at(row);
    const int64_t affine = row % x.inner * affine_stride;
    double sum = 0.0;
    for (int64_t i = 0; i < x.dim; ++i) sum += in[i];
    const double mean = sum / static_cast<double>(x.dim);
    double squares = 0.0;
    for (int64_t i = 0; i < x.dim; ++i) squares += (in[i] - mean) * (in[i] - mean);
    const double factor = 1.0 / std::sqrt(squares / static_cast<double>(x.dim) + eps);
    for (int64_t i = 0; i < x.dim; ++i) {
      const auto normal = static_cast<float>((in[i] - mean) * factor);
      to[i] = normal * (weight == nullptr ? 1.0f : weight[affine + i]) +
              (bias == nullptr ? 0.0f : bias[affine + i]);
    }
  }
}

}  // namespace

void FillNormReference(OpTable& table) { table.norm = {Rms, AddRms, Layer}; }

}  // namespace banyan::ops
