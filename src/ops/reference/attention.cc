// SPDX-License-Identifier: Apache-2.0
// Attention as its definition reads, one query and head at a time, in f64: no blocks, no online
// softmax.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/op_table.h"
#include "ops/reference/half.h"

namespace banyan::ops {
namespace {

float Load(DType dtype, const void* data, int64_t index) {
  switch (dtype) {
    case DType::kBF16:
      return FromBf16(static_cast<const uint16_t*>(data)[index]);
    case DType::kF16:
      return FromF16(static_cast<const uint16_t*>(data)[index]);
    default:
      return static_cast<const float*>(data)[index];
  }
}

// Does the query at `position` see the key at `key`?
bool Visible(const AttentionTask& task, int64_t position, int64_t key) {
  if (key > position) return false;
  if (key < task.sinks) return true;
  if (task.window > 0 && key <= position - task.window) return false;
  return task.chunk == 0 || key / task.chunk == position / task.chunk;
}

double Logit(const AttentionTask& task, const float* q, int64_t head, int64_t position,
             int64_t key) {
  const int64_t base = task.pages[key / task.page_size] * task.key_page_stride +
                       key % task.page_size * task.key_token_stride;
  double logit = 0.0;
  for (int64_t i = 0; i < task.key_dim; ++i)
    logit += static_cast<double>(q[i]) * Load(task.dtype, task.keys, base + i);
  logit *= task.scale;
  if (task.softcap > 0.0f) logit = task.softcap * std::tanh(logit / task.softcap);
  if (task.alibi_slopes != nullptr) {
    const float slope = task.alibi_slopes[head];
    const float rounded = FromBf16(ToBf16(slope * FromBf16(ToBf16(static_cast<float>(key)))));
    logit += task.scale * (rounded - static_cast<double>(slope) * static_cast<double>(position));
  }
  return logit;
}

// workspace: value_dim sums in f64.
void OneHead(const AttentionTask& task, int64_t row, int64_t head) {
  const float* q = task.q + row * task.q_stride + head * task.q_head_stride;
  float* out = task.out + row * task.out_stride + head * task.out_head_stride;
  const int64_t position = task.position + row;
  const int32_t* chosen = task.chosen == nullptr ? nullptr : task.chosen + row * task.chosen_stride;
  const int64_t count = chosen == nullptr ? position + 1 : task.chosen_counts[row];
  const auto key_at = [&](int64_t i) { return chosen == nullptr ? i : int64_t{chosen[i]}; };
  double max = task.sink_logits == nullptr ? -INFINITY : task.sink_logits[head];
  for (int64_t i = 0; i < count; ++i)
    if (Visible(task, position, key_at(i)))
      max = std::max(max, Logit(task, q, head, position, key_at(i)));
  double sum = task.sink_logits == nullptr ? 0.0 : std::exp(task.sink_logits[head] - max);
  auto* values = reinterpret_cast<double*>(task.workspace);
  std::fill_n(values, task.value_dim, 0.0);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t key = key_at(i);
    if (!Visible(task, position, key)) continue;
    const double p = std::exp(Logit(task, q, head, position, key) - max);
    const int64_t base = task.pages[key / task.page_size] * task.value_page_stride +
                         key % task.page_size * task.value_token_stride;
    sum += p;
    for (int64_t d = 0; d < task.value_dim; ++d)
      values[d] += p * Load(task.dtype, task.values, base + d);
  }
  for (int64_t i = 0; i < task.value_dim; ++i) out[i] = static_cast<float>(values[i] / sum);
}

void Run(const AttentionTask& task) {
  for (int64_t row = 0; row < task.rows; ++row)
    for (int64_t head = 0; head < task.group; ++head) OneHead(task, row, head);
}

std::size_t WorkspaceBytes(int64_t queries, int64_t group, int64_t key_dim, int64_t value_dim) {
  return static_cast<std::size_t>(value_dim) * sizeof(double);
}

void Store(const float* from, int64_t n, DType dtype, void* to) {
  auto* halves = static_cast<uint16_t*>(to);
  if (dtype == DType::kF32) {
    std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(float));
  } else if (dtype == DType::kBF16) {
    for (int64_t i = 0; i < n; ++i) halves[i] = ToBf16(from[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) halves[i] = ToF16(from[i]);
  }
}

}  // namespace

void FillAttentionReference(OpTable& table) {
  table.attention = {.segment = 0, .workspace_bytes = WorkspaceBytes, .run = Run, .store = Store};
}

}  // namespace banyan::ops
