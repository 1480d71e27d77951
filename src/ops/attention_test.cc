// SPDX-License-Identifier: Apache-2.0
// The reference against attention written out over whole matrices, and the plan's partition.
#include "ops/attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/attention_testing.h"

namespace banyan::ops {
namespace {

// bf16 has so many of a number, the first included.
double EightBits(double x) {
  int exponent = 0;
  const double mantissa = std::frexp(x, &exponent);
  return std::ldexp(std::nearbyint(mantissa * 256) / 256, exponent);
}

OpTable Table() {
  OpTable table;
  FillReference(table);
  return table;
}

// Attention of one sequence, all queries, straight from the numbers; `visible(query, key)` is the
// mask.
template <typename Visible>
std::vector<float> Naive(const AttentionCase& spec, const AttentionStage& stage,
                         Visible&& visible) {
  const int n = spec.lengths[0].fresh;
  const int group = spec.heads / spec.kv_heads;
  std::vector<float> out;
  for (int i = 0; i < n; ++i) {
    for (int h = 0; h < spec.heads; ++h) {
      std::vector<double> weights;
      double sum = 0.0;
      for (int j = 0; j < n; ++j) {
        double dot = 0.0;
        for (int d = 0; d < spec.key_dim; ++d)
          dot += static_cast<double>(stage.q(0)[(i * spec.heads + h) * spec.key_dim + d]) *
                 stage.k(0)[(j * spec.kv_heads + h / group) * spec.key_dim + d];
        dot *= spec.params.scale;
        if (spec.params.softcap > 0)
          dot = spec.params.softcap * std::tanh(dot / spec.params.softcap);
        if (!spec.params.alibi_slopes.empty())
          dot += spec.params.scale *
                 (EightBits(spec.params.alibi_slopes.data<float>()[h] * static_cast<float>(j)) -
                  static_cast<double>(spec.params.alibi_slopes.data<float>()[h]) * i);
        weights.push_back(visible(i, j) ? std::exp(dot) : 0.0);
        sum += weights.back();
      }
      if (!spec.params.sink_logits.empty())
        sum += std::exp(static_cast<double>(spec.params.sink_logits.data<float>()[h]));
      for (int d = 0; d < spec.value_dim; ++d) {
        double value = 0.0;
        for (int j = 0; j < n; ++j)
          value += weights[static_cast<std::size_t>(j)] / sum *
                   stage.v(0)[(j * spec.kv_heads + h / group) * spec.value_dim + d];
        out.push_back(static_cast<float>(value));
      }
    }
  }
  return out;
}

template <typename Visible>
void ExpectNaive(const AttentionCase& spec, Visible&& visible) {
  TestBench bench(Table());
  const std::vector<float> want = Naive(spec, AttentionStage(spec, 1), visible);
  for (int chunk : {1000, 7}) {
    const auto got = AttentionStage(spec, 1).RunAll(bench.context(), chunk);
    ASSERT_EQ(got[0].size(), want.size());
    for (std::size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[0][i], want[i], 1e-5) << i;
  }
}

AttentionCase Small() {
  AttentionCase spec;
  spec.heads = 6;
  spec.kv_heads = 2;
  spec.key_dim = 12;
  spec.value_dim = 8;
  spec.page_size = 4;
  spec.params.scale = 0.3f;
  spec.lengths = {{0, 25, 0}};
  return spec;
}

TEST(Attention, Causal) {
  ExpectNaive(Small(), [](int i, int j) { return j <= i; });
}

TEST(Attention, WindowCountsTheQueryItself) {
  AttentionCase spec = Small();
  spec.params.window = 5;
  ExpectNaive(spec, [](int i, int j) { return j <= i && j > i - 5; });
}

TEST(Attention, WindowWithSinks) {
  AttentionCase spec = Small();
  spec.params.window = 5;
  spec.params.sinks = 2;
  ExpectNaive(spec, [](int i, int j) { return j <= i && (j > i - 5 || j < 2); });
}

TEST(Attention, Chunks) {
  AttentionCase spec = Small();
  spec.params.chunk = 8;
  ExpectNaive(spec, [](int i, int j) { return j <= i && j / 8 == i / 8; });
}

TEST(Attention, SoftcapSinkLogitsAndAlibi) {
  AttentionCase spec = Small();
  std::vector<float> sinks = {0.5f, -1, 2, 0, 1, 3};
  std::vector<float> slopes = {0.5f, 0.25f, 0.125f, 0.1f, 0.05f, 0.02f};
  spec.params.softcap = 1.5f;
  ExpectNaive(spec, [](int i, int j) { return j <= i; });
  spec.params.sink_logits = Tensor(sinks.data(), DType::kF32, {6});
  ExpectNaive(spec, [](int i, int j) { return j <= i; });
  spec.params.alibi_slopes = Tensor(slopes.data(), DType::kF32, {6});
  ExpectNaive(spec, [](int i, int j) { return j <= i; });
}

// Every query of every sequence is in exactly one part, or its segments tile its keys once.
TEST(Attention, PlanCoversEachQueryOnce) {
  OpTable table = Table();
  table.attention.segment = 512;
  // Where queries choose 2048 keys, no more are shared out.
  for (const auto& [threads, most_keys] :
       {std::pair(1, 0), std::pair(2, 0), std::pair(16, 0), std::pair(16, 2048)}) {
    TestBench bench(table, threads);
    const std::vector<PageId> pages(10000, 1);
    const std::vector<AttentionSequence> sequences = {
        {0, 1, 9000, pages}, {1, 300, 300, pages}, {301, 3, 4000, pages}, {304, 1, 5, pages}};
    const AttentionPlan plan = PlanAttention(bench.context(), sequences, 1, most_keys);
    std::vector<int> seen(305);
    std::vector<std::vector<int>> segments(4);
    for (const AttentionWork& work : plan.work) {
      if (work.partial < 0) {
        for (int q = 0; q < work.queries; ++q)
          ++seen[static_cast<std::size_t>(sequences[work.sequence].q_begin + work.query + q)];
      } else {
        for (int s = work.segment_begin; s < work.segment_end; ++s)
          segments[work.sequence].push_back(s);
      }
    }
    for (const AttentionWork& merge : plan.merges) {
      for (int q = 0; q < merge.queries; ++q)
        ++seen[static_cast<std::size_t>(sequences[merge.sequence].q_begin + merge.query + q)];
      std::vector<int>& tiled = segments[merge.sequence];
      std::sort(tiled.begin(), tiled.end());
      ASSERT_EQ(tiled.size(), static_cast<std::size_t>(merge.segment_end));
      const int keys = sequences[merge.sequence].kv_len;
      EXPECT_EQ(merge.segment_end,
                ((most_keys > 0 ? std::min(keys, most_keys) : keys) + 511) / 512);
      for (int s = 0; s < merge.segment_end; ++s) EXPECT_EQ(tiled[static_cast<std::size_t>(s)], s);
    }
    for (int count : seen) EXPECT_EQ(count, 1);
    EXPECT_EQ(plan.merges.empty(), threads == 1);
  }
}

}  // namespace
}  // namespace banyan::ops
