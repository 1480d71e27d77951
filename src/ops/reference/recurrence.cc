// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "ops/op_table.h"

namespace banyan::ops {
namespace {

void Run(const RecurrenceTask& t, int64_t begin, int64_t end) {
  for (int64_t row = 0; row < t.rows; ++row) {
    const float* k = t.k + row * t.k_stride;
    const float* q = t.q + row * t.q_stride;
    const double decay = t.decay[row * t.decay_stride];
    const double beta = t.beta == nullptr ? 1.0 : t.beta[row * t.beta_stride];
    for (int64_t c = begin; c < end; ++c) {
      const double v = t.v[row * t.v_stride + c];
      double recalled = 0.0;
      for (int64_t j = 0; j < t.key_dim; ++j)
        recalled += double{k[j]} * t.state[j * t.value_dim + c];
      const double in = beta * (t.delta ? v - decay * recalled : v);
      double y = t.skip * v;
      for (int64_t j = 0; j < t.key_dim; ++j) {
        float& s = t.state[j * t.value_dim + c];
        s = static_cast<float>(decay * s + k[j] * in);
        y += double{q[j]} * s;
      }
      t.out[row * t.out_stride + c] = static_cast<float>(y);
    }
  }
}

void Decay(const Rows& x, const float* bias, const float* a, float low, float high, const Rows& dt,
           const Rows& decay, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t i = 0; i < x.dim; ++i) {
      const double in = double{x.at(row)[i]} + bias[i];
      const double step = in > 20.0 ? in : std::log1p(std::exp(in));
      dt.at(row)[i] = std::clamp(static_cast<float>(step), low, high);
      decay.at(row)[i] = std::exp(a[i] * dt.at(row)[i]);
    }
  }
}

}  // namespace

void FillRecurrenceReference(OpTable& table) { table.recurrence = {Run, Decay}; }

}  // namespace banyan::ops
