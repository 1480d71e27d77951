// SPDX-License-Identifier: Apache-2.0
#include "sched/step_time.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace banyan {
namespace {

constexpr double kKeep = 0.99;  // of a step's weight, at each step after it
constexpr int kEnough = 16;     // steps before the fit is believed
constexpr double kFixedIsSmall = 1e-4;
constexpr double kFollow = 0.75;  // how far the chunk follows the fit (SGLang's smoothing)

}  // namespace

void StepTime::Observe(double tokens, double pairs, double seconds) {
  // In thousands and millions, so that the sums are of like size.
  const double x[3] = {1, tokens * 1e-3, pairs * 1e-6};
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) matrix_[i][j] = matrix_[i][j] * kKeep + x[i] * x[j];
    vector_[i] = vector_[i] * kKeep + x[i] * seconds;
  }
  if (++observed_ >= kEnough) Fit();
}

void StepTime::Fit() {
  double m[3][4];
  for (int i = 0; i < 3; ++i) {
    std::copy_n(matrix_[i], 3, m[i]);
    m[i][3] = vector_[i];
  }
  // Among chunks of one length the fixed part cannot be told from the tokens': it is theirs then.
  m[0][0] *= 1 + kFixedIsSmall;
  for (int column = 0; column < 3; ++column) {
    int pivot = column;
    for (int row = column + 1; row < 3; ++row) {
      if (std::abs(m[row][column]) > std::abs(m[pivot][column])) pivot = row;
    }
    // Steps all alike say nothing.
    if (std::abs(m[pivot][column]) < 1e-9 * std::abs(matrix_[column][column]) + 1e-30) return;
    std::swap_ranges(m[column], m[column] + 4, m[pivot]);
    for (int row = 0; row < 3; ++row) {
      if (row == column) continue;
      const double factor = m[row][column] / m[column][column];
      for (int k = column; k < 4; ++k) m[row][k] -= factor * m[column][k];
    }
  }
  const double b = m[1][3] / m[1][1] * 1e-3, a = m[2][3] / m[2][2] * 1e-6;
  pair_cost_ = a > 0 && b > 0 ? a / b : 0;
}

int64_t StepTime::Chunk(int64_t context, int64_t full) const {
  if (pair_cost_ <= 0 || context <= 0) return full;
  // x + r * x * (context + x / 2) = full + r * full * full / 2
  const double r = pair_cost_, c = static_cast<double>(context), f = static_cast<double>(full);
  const double target = f + r * f * f / 2, linear = 1 + r * c;
  const double x = (std::sqrt(linear * linear + 2 * r * target) - linear) / r;
  return std::max<int64_t>(1, static_cast<int64_t>((1 - kFollow) * f + kFollow * x));
}

}  // namespace banyan
