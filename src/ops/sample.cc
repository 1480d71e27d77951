// SPDX-License-Identifier: Apache-2.0
#include "ops/sample.h"

#include <algorithm>
#include <cmath>

#include "ops/parallel.h"
#include "ops/rows.h"

namespace banyan::ops {
namespace {
constexpr double kScanNanoseconds = 0.15;  // per logit
constexpr double kDrawNanoseconds = 1.0;

bool Greedy(const SampleRow& row) { return row.temperature < 1e-6f || row.top_k == 1; }
}  // namespace

void Sample(const OpContext& context, const Tensor& logits, std::span<const SampleRow> rows,
            std::span<int32_t> tokens) {
  const Rows in = AsRows(logits);
  BANYAN_DCHECK(in.inner == 1 && in.outer == static_cast<int64_t>(rows.size()) &&
                    rows.size() == tokens.size(),
                "Sample: logits {}, {} rows, {} tokens", logits.shape().ToString(), rows.size(),
                tokens.size());
  const SampleKernels& kernels = context.table->sample;
  const bool all_greedy = std::all_of(rows.begin(), rows.end(), Greedy);
  if (all_greedy) {
    ParallelItems(context, in.outer, kScanNanoseconds * static_cast<double>(in.dim),
                  [&](int64_t begin, int64_t end) {
                    for (int64_t i = begin; i < end; ++i)
                      tokens[i] = kernels.argmax(in.at(i), in.dim);
                  });
    return;
  }
  const ScratchScope scope(context.scratch);
  const std::size_t bytes = SampleWorkspaceBytes(in.dim);
  // A workspace per part, found by the part's number: parts are `stride` rows each.
  const int64_t threads = Threads(context);
  const int64_t stride = (in.outer + threads - 1) / threads;
  std::byte* workspaces = context.scratch->GetBytes(bytes * static_cast<std::size_t>(threads));
  ParallelItems(
      context, (in.outer + stride - 1) / stride,
      kDrawNanoseconds * static_cast<double>(in.dim * stride), [&](int64_t begin, int64_t end) {
        for (int64_t part = begin; part < end; ++part)
          for (int64_t i = part * stride; i < std::min((part + 1) * stride, in.outer); ++i)
            tokens[i] = Greedy(rows[i])
                            ? kernels.argmax(in.at(i), in.dim)
                            : kernels.draw(in.at(i), in.dim, rows[i], workspaces + part * bytes);
      });
}

void LogSoftmax(const OpContext& context, const Tensor& logits,
                std::span<const float> temperatures) {
  const Rows in = AsRows(logits);
  BANYAN_DCHECK(in.inner == 1 && in.outer == static_cast<int64_t>(temperatures.size()),
                "LogSoftmax: logits {}, {} temperatures", logits.shape().ToString(),
                temperatures.size());
  ParallelItems(context, in.outer, kDrawNanoseconds * static_cast<double>(in.dim),
                [&](int64_t begin, int64_t end) {
                  for (int64_t i = begin; i < end; ++i)
                    context.table->sample.log_softmax(in.at(i), in.dim, temperatures[i]);
                });
}

std::vector<std::pair<float, int32_t>> TopN(std::span<const float> row, int n) {
  using Entry = std::pair<float, int32_t>;
  const auto better = [](const Entry& a, const Entry& b) {
    return a.first > b.first || (a.first == b.first && a.second < b.second);
  };
  std::vector<Entry> best;  // a heap whose front is the worst kept
  const auto limit = static_cast<std::size_t>(std::max(n, 0));
  if (limit == 0) return best;
  best.reserve(std::min(limit, row.size()) + 1);
  const auto size = static_cast<int32_t>(row.size());
  constexpr int32_t kStride = 64;
  for (int32_t begin = 0; begin < size; begin += kStride) {
    const int32_t end = std::min(begin + kStride, size);
    if (best.size() == limit) {  // most runs hold nothing better: one vectorized look tells
      const float bar = best.front().first;
      int above = 0;
      for (int32_t i = begin; i < end; ++i) above += row[i] > bar ? 1 : 0;
      if (above == 0) continue;
    }
    for (int32_t i = begin; i < end; ++i) {
      if (std::isnan(row[i])) continue;
      if (best.size() < limit) {
        best.emplace_back(row[i], i);
        std::push_heap(best.begin(), best.end(), better);
      } else if (row[i] > best.front().first) {
        std::pop_heap(best.begin(), best.end(), better);
        best.back() = {row[i], i};
        std::push_heap(best.begin(), best.end(), better);
      }
    }
  }
  std::sort_heap(best.begin(), best.end(), better);
  return best;
}

}  // namespace banyan::ops
