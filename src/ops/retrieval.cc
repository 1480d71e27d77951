// SPDX-License-Identifier: Apache-2.0
#include "ops/retrieval.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "ops/linear.h"
#include "ops/parallel.h"

namespace banyan::ops {
namespace {

struct Choice {
  float score;
  int32_t expert;
  bool operator<(const Choice& other) const {  // better
    return score != other.score ? score > other.score : expert < other.expert;
  }
};

// The best `count` of n finite scores, best first.
std::vector<Choice> Best(const float* scores, int64_t n, int64_t count) {
  std::vector<Choice> all(static_cast<std::size_t>(n));
  for (int64_t i = 0; i < n; ++i) all[i] = {scores[i], static_cast<int32_t>(i)};
  std::partial_sort(all.begin(), all.begin() + count, all.end());
  all.resize(static_cast<std::size_t>(count));
  return all;
}

// A sum of the a-th best and the b-th best has (a + 1) * (b + 1) - 1 others that are no worse.
std::vector<Choice> BestSums(const float* first, const float* second, int64_t keys, int64_t k) {
  const int64_t few = std::min(keys, k);
  const std::vector<Choice> rows = Best(first, keys, few), columns = Best(second, keys, few);
  std::vector<Choice> sums;
  for (int64_t a = 0; a < few; ++a)
    for (int64_t b = 0; b < few && (a + 1) * (b + 1) <= k; ++b)
      sums.push_back({rows[a].score + columns[b].score,
                      static_cast<int32_t>(rows[a].expert * keys + columns[b].expert)});
  std::partial_sort(sums.begin(), sums.begin() + k, sums.end());
  sums.resize(static_cast<std::size_t>(k));
  return sums;
}

void OneRow(const OpContext& context, const RetrievalCall& call, int64_t row,
            std::vector<float>& expert) {
  const int64_t dim = call.x.dim(1), keys = call.logits.dim(1) / 2;
  const float* logits = call.logits.data<float>() + row * call.logits.stride(0);
  const float* x = call.x.data<float>() + row * call.x.stride(0);
  float* out = call.out.data<float>() + row * call.out.stride(0);
  if (!std::all_of(logits, logits + 2 * keys, [](float l) { return std::isfinite(l); })) {
    std::fill_n(out, dim, std::numeric_limits<float>::quiet_NaN());
    return;
  }
  const std::vector<Choice> chosen = BestSums(logits, logits + keys, keys, call.top_k);
  std::vector<float> weights, units;
  const auto read = [&](const Tensor& table, int32_t e) {
    Dequantize(table.Row(e), Tensor(expert.data(), DType::kF32, {dim}));
  };
  for (const Choice& choice : chosen) {
    weights.push_back(std::exp(choice.score - chosen[0].score));
    read(call.down, choice.expert);
    units.push_back(static_cast<float>(std::inner_product(x, x + dim, expert.data(), 0.0)));
  }
  const float sum = std::accumulate(weights.begin(), weights.end(), 0.0f);
  const Rows rows = {units.data(), 1, 1, 0, 0, static_cast<int64_t>(units.size())};
  context.table->elementwise.activate(call.activation, rows, rows, 0, 1);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    read(call.up, chosen[i].expert);
    const float factor = units[i] * (weights[i] / sum);
    for (int64_t d = 0; d < dim; ++d) out[d] = std::fma(factor, expert[d], out[d]);
  }
}

}  // namespace

void RetrieveExperts(const OpContext& context, const RetrievalCall& call) {
  const int64_t dim = call.x.dim(1), keys = call.logits.dim(1) / 2;
  BANYAN_DCHECK(call.logits.dim(0) == call.x.dim(0) && call.out.shape() == call.x.shape() &&
                    call.down.dim(1) == dim && call.up.dim(1) == dim && call.top_k >= 1 &&
                    call.top_k <= keys * keys && call.down.dim(0) >= keys * keys &&
                    call.up.dim(0) >= keys * keys,
                "RetrieveExperts: x {}, logits {}, tables {}", call.x.shape().ToString(),
                call.logits.shape().ToString(), call.down.shape().ToString());
  ParallelItems(context, call.x.dim(0), 3.0 * static_cast<double>(dim) * call.top_k,
                [&](int64_t begin, int64_t end) {
                  std::vector<float> expert(static_cast<std::size_t>(dim));
                  for (int64_t row = begin; row < end; ++row) OneRow(context, call, row, expert);
                });
}

}  // namespace banyan::ops
