// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "ops/op_table.h"
#include "ops/reference/half.h"

namespace banyan::ops {
namespace {

float Load(const IndexTask& task, int64_t index) {
  if (task.dtype == DType::kBF16) return FromBf16(static_cast<const uint16_t*>(task.keys)[index]);
  if (task.dtype == DType::kF16) return FromF16(static_cast<const uint16_t*>(task.keys)[index]);
  return static_cast<const float*>(task.keys)[index];
}

void Score(const IndexTask& task) {
  for (int64_t row = 0; row < task.rows; ++row) {
    for (int64_t key = task.key_begin; key < task.key_end; ++key) {
      const int64_t at = task.pages[key / task.page_size] * task.page_stride +
                         key % task.page_size * task.token_stride;
      double sum = 0.0;
      for (int64_t h = 0; h < task.heads; ++h) {
        const float* q = task.q + row * task.q_stride + h * task.q_head_stride;
        double product = 0.0;
        for (int64_t i = 0; i < task.dim; ++i)
          product += static_cast<double>(q[i]) * Load(task, at + i);
        sum += task.weights[row * task.weights_stride + h] * std::max(0.0, product * task.scale);
      }
      task.scores[row * task.scores_stride + key] = static_cast<float>(sum);
    }
  }
}

std::size_t WorkspaceBytes(int64_t rows, int64_t heads, int64_t dim) { return 0; }

}  // namespace

void FillIndexReference(OpTable& table) { table.index = {WorkspaceBytes, Score}; }

}  // namespace banyan::ops
