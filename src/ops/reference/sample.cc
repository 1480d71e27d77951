// SPDX-License-Identifier: Apache-2.0
// Sampling by sorting the whole vocabulary.
#include "ops/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/gumbel.h"

namespace banyan::ops {
namespace {

struct Candidate {
  float logit;  // over the temperature
  int32_t id;
};

bool Finite(const float* logits, int64_t n) {
  bool any = false;
  for (int64_t i = 0; i < n; ++i) {
    if (std::isnan(logits[i]) || logits[i] == std::numeric_limits<float>::infinity()) return false;
    any = any || std::isfinite(logits[i]);
  }
  return any;
}

int32_t Argmax(const float* logits, int64_t n) {
  if (!Finite(logits, n)) return -1;
  return static_cast<int32_t>(std::max_element(logits, logits + n) - logits);
}

int32_t Draw(const float* logits, int64_t n, const SampleRow& row, std::byte* workspace) {
  if (!Finite(logits, n)) return -1;
  auto* sorted = reinterpret_cast<Candidate*>(workspace);
  for (int64_t i = 0; i < n; ++i)
    sorted[i] = {logits[i] / row.temperature, static_cast<int32_t>(i)};
  const float max = *std::max_element(logits, logits + n) / row.temperature;
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(static_cast<double>(sorted[i].logit) - max);
  const bool filtered = (row.top_k > 0 && row.top_k < n) || row.top_p < 1.0f || row.min_p > 0.0f;
  if (filtered)
    std::sort(sorted, sorted + n, [](const Candidate& a, const Candidate& b) {
      return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
    });
  double before = 0.0;
  double best = -std::numeric_limits<double>::infinity();
  int32_t token = sorted[0].id;
  for (int64_t i = 0; i < n; ++i) {
    const double weight = std::exp(static_cast<double>(sorted[i].logit) - max);
    if (filtered && ((row.top_k > 0 && i >= row.top_k) || before > row.top_p || weight < row.min_p))
      break;
    before += weight / sum;
    const double score = sorted[i].logit + Gumbel(row.seed, row.position, static_cast<uint32_t>(i));
    if (score > best) {
      best = score;
      token = sorted[i].id;
    }
  }
  return token;
}

void LogSoftmaxRow(float* logits, int64_t n, float temperature) {
  float max = -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < n; ++i) {
    logits[i] /= temperature;
    max = std::max(max, logits[i]);
  }
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(static_cast<double>(logits[i]) - max);
  const double log_sum = std::log(sum);
  for (int64_t i = 0; i < n; ++i)
    logits[i] = static_cast<float>(static_cast<double>(logits[i]) - max - log_sum);
}

}  // namespace

void FillSampleReference(OpTable& table) { table.sample = {Argmax, Draw, LogSoftmaxRow}; }

}  // namespace banyan::ops
