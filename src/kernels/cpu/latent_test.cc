// SPDX-License-Identifier: Apache-2.0
// What latent attention is made of, at every CPU level: attention where a row is key and value of
// all heads, chosen positions, the index that chooses them, products per head.
#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <set>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/table.h"
#include "ops/head_linear.h"
#include "ops/linear.h"
#include "ops/sparse_index.h"
#include "ops/testing.h"

namespace banyan::ops {
namespace {

void ExpectNear(const std::vector<float>& got, const std::vector<float>& want, float bound) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_LE(std::fabs(got[i] - want[i]), bound * (1.0f + std::fabs(want[i]))) << "element " << i;
}

// One sequence whose rows of a pool [pages, page_size, 1, dim] are set by the seed.
struct Pool {
  Pool(int positions, int dim, int page_size, DType dtype, uint32_t seed)
      : page_size(page_size), dtype(dtype), rows(Shape{positions, 1, dim}) {
    std::mt19937 rng(seed);
    rows.Fill(rng);
    const int pages = (positions + page_size - 1) / page_size;
    table.resize(static_cast<std::size_t>(pages));
    std::iota(table.begin(), table.end(), 1);
    std::shuffle(table.begin(), table.end(), std::mt19937(seed + static_cast<uint32_t>(page_size)));
    const Shape shape{pages + 1, page_size, 1, dim};
    bytes.assign(static_cast<std::size_t>(Bytes(dtype, shape.NumElements())), std::byte{0x4b});
    tensor = Tensor(bytes.data(), dtype, shape);
  }
  // Rows [from, to) are this step's.
  AttentionSequence Write(const OpContext& context, int from, int to) {
    const AttentionSequence sequence{0, to - from, to, table};
    const AttentionPlan plan = PlanAttention(context, {&sequence, 1}, page_size);
    WritePages(context, plan, rows.view.Slice(0, from, to), tensor);
    return sequence;
  }

  int page_size;
  DType dtype;
  TestTensor rows;
  std::vector<PageId> table;
  std::vector<std::byte> bytes;
  Tensor tensor;
};

class Latent : public testing::TestWithParam<IsaLevel> {
 protected:
  void SetUp() override {
    StatusOr<OpTable> made = kernels::MakeCpuTable(GetParam());
    if (!made.ok()) GTEST_SKIP() << Message(made.status());
    table_ = *made;
    FillReference(reference_);
    bench_ = std::make_unique<TestBench>(table_, 3);
    oracle_ = std::make_unique<TestBench>(reference_);
  }

  OpTable table_, reference_;
  std::unique_ptr<TestBench> bench_, oracle_;
};

struct Step {
  int heads, dim, value_dim, groups;
  AttentionParams params;
};

// Attention of all positions in steps of `chunk`.
std::vector<float> RunLatent(const OpContext& context, const Step& step, Pool& pool, TestTensor& q,
                             int chunk) {
  const int n = static_cast<int>(q.view.dim(0));
  TestTensor out(Shape{n, step.heads, step.value_dim}, 2);
  const Tensor keys(pool.tensor.raw(), pool.dtype,
                    {pool.tensor.dim(0), pool.page_size, step.groups, step.dim},
                    {pool.tensor.stride(0), pool.tensor.stride(1), 0, 1});
  for (int from = 0; from < n; from += chunk) {
    const int to = std::min(n, from + chunk);
    const AttentionSequence sequence = pool.Write(context, from, to);
    AttentionParams params = step.params;
    int most = 0;
    if (!params.chosen.counts.empty()) {
      params.chosen = {params.chosen.positions.Slice(0, from, to),
                       params.chosen.counts.Slice(0, from, to)};
      most = static_cast<int>(params.chosen.positions.dim(1));
    }
    const AttentionPlan plan = PlanAttention(context, {&sequence, 1}, pool.page_size, most);
    Attention(context, plan, params, q.view.Slice(0, from, to),
              {keys, keys.Slice(3, 0, step.value_dim)}, out.view.Slice(0, from, to));
    context.scratch->Reset();
  }
  EXPECT_TRUE(out.PaddingIntact());
  return out.Values();
}

TEST_P(Latent, RowsAreKeyAndValueOfAllHeads) {
  if (GetParam() == IsaLevel::kReference) GTEST_SKIP() << "the reference is what is compared with";
  for (const auto& [heads, dim, value_dim, n, dtype] :
       {std::tuple(16, 576, 512, 70, DType::kBF16), std::tuple(128, 576, 512, 20, DType::kBF16),
        std::tuple(20, 320, 256, 75, DType::kBF16), std::tuple(16, 576, 512, 30, DType::kF16),
        std::tuple(5, 24, 20, 90, DType::kF32)}) {
    SCOPED_TRACE(fmt::format("{} heads of {}", heads, dim));
    Step step{heads, dim, value_dim, 1, {}};
    step.params.scale = 1.0f / std::sqrt(static_cast<float>(dim));
    std::mt19937 rng(7);
    TestTensor q(Shape{n, heads, dim}, 3);
    q.Fill(rng);
    Pool pool(n, dim, 16, dtype, 3), same(n, dim, 16, dtype, 3);
    const auto got = RunLatent(bench_->context(), step, pool, q, n);
    ExpectNear(got, RunLatent(oracle_->context(), step, same, q, n), 2e-5f);
    // As if groups of heads had keys of their own, and in other steps and pages.
    if (heads % 4 == 0) step.groups = 4;
    Pool other(n, dim, 7, dtype, 3);
    EXPECT_TRUE(SameBits(RunLatent(bench_->context(), step, other, q, 9), got));
  }
}

// Every query, the first of which is at `first`, sees some of the positions before it and its own.
struct Chosen {
  Chosen(int n, int most, uint32_t seed, int first = 0) : positions(n * most, -1), counts(n) {
    std::mt19937 rng(seed);
    for (int i = 0; i < n; ++i) {
      const int seen = first + i + 1;
      std::set<int> mine;
      while (static_cast<int>(mine.size()) < std::min(most, seen))
        mine.insert(static_cast<int>(rng() % static_cast<uint32_t>(seen)));
      std::copy(mine.begin(), mine.end(), positions.begin() + i * most);
      counts[i] = static_cast<int32_t>(mine.size());
    }
    chosen = {Tensor(positions.data(), DType::kI32, {n, most}),
              Tensor(counts.data(), DType::kI32, {n})};
  }
  std::vector<int32_t> positions, counts;
  ChosenPositions chosen;
};

TEST_P(Latent, AttendsToChosenPositions) {
  constexpr int kRows = 1300;
  for (int most : {40, 640}) {
    Step step{4, 24, 16, 1, {}};
    step.params.scale = 0.3f;
    std::mt19937 rng(7);
    TestTensor q(Shape{kRows, 4, 24});
    q.Fill(rng);
    Chosen chosen(kRows, most, 5);
    step.params.chosen = chosen.chosen;
    Pool pool(kRows, 24, 16, DType::kF32, 3), same(kRows, 24, 16, DType::kF32, 3);
    const auto got = RunLatent(bench_->context(), step, pool, q, kRows);
    ExpectNear(got, RunLatent(oracle_->context(), step, same, q, kRows), 2e-5f);
    if (GetParam() == IsaLevel::kReference) continue;
    Pool other(kRows, 24, 1, DType::kF32, 3);
    EXPECT_TRUE(SameBits(RunLatent(bench_->context(), step, other, q, 7), got));
  }
}

TEST_P(Latent, ChoosingAllIsNotChoosing) {
  constexpr int kRows = 700;
  Step step{4, 24, 16, 1, {}};
  step.params.scale = 0.3f;
  std::mt19937 rng(7);
  TestTensor q(Shape{kRows, 4, 24});
  q.Fill(rng);
  Pool pool(kRows, 24, 16, DType::kBF16, 3), same(kRows, 24, 16, DType::kBF16, 3);
  const auto want = RunLatent(bench_->context(), step, pool, q, kRows);
  Chosen all(kRows, kRows, 5);
  step.params.chosen = all.chosen;
  EXPECT_TRUE(SameBits(RunLatent(bench_->context(), step, same, q, 100), want));
}

// Attention of the last positions of the pool, as many as q has rows, `rows` at a time. Values are
// the keys' first elements, or another pool's rows in the same pages.
std::vector<float> RunLast(const OpContext& context, const Step& step, Pool& pool, Pool* values,
                           TestTensor& q, int rows) {
  const int n = static_cast<int>(pool.rows.view.dim(0)), fresh = static_cast<int>(q.view.dim(0));
  TestTensor out(Shape{fresh, step.heads, step.value_dim}, 2);
  pool.Write(context, 0, n);
  const Tensor keys(pool.tensor.raw(), pool.dtype,
                    {pool.tensor.dim(0), pool.page_size, 1, step.dim});
  if (values != nullptr) values->Write(context, 0, n);
  const Tensor read = values == nullptr ? keys.Slice(3, 0, step.value_dim) : values->tensor;
  for (int from = 0; from < fresh; from += rows) {
    const int to = std::min(fresh, from + rows);
    const AttentionSequence sequence{0, to - from, n - fresh + to, pool.table};
    AttentionParams params = step.params;
    int most = 0;
    if (!params.chosen.counts.empty()) {
      params.chosen = {params.chosen.positions.Slice(0, from, to),
                       params.chosen.counts.Slice(0, from, to)};
      most = static_cast<int>(params.chosen.positions.dim(1));
    }
    const AttentionPlan plan = PlanAttention(context, {&sequence, 1}, pool.page_size, most);
    Attention(context, plan, params, q.view.Slice(0, from, to), {keys, read},
              out.view.Slice(0, from, to));
    context.scratch->Reset();
  }
  EXPECT_TRUE(out.PaddingIntact());
  return out.Values();
}

TEST_P(Latent, WideRowsInWindowsAndChoices) {
  if (GetParam() == IsaLevel::kReference) GTEST_SKIP() << "the reference is what is compared with";
  constexpr int kPositions = 1300, kFresh = 3, kHeads = 17, kDim = 288, kMost = 700;
  std::mt19937 rng(7);
  TestTensor q(Shape{kFresh, kHeads, kDim}, 3), slopes(Shape{kHeads});
  q.Fill(rng);
  slopes.Fill(rng, 0.1f);
  Chosen chosen(kFresh, kMost, 5, kPositions - kFresh);
  std::vector<std::pair<std::string, AttentionParams>> cases(6);
  cases[0].first = "all";
  cases[1].first = "window, values of their own";
  cases[1].second.window = 300;
  cases[2].first = "window with sinks, values of their own";
  cases[2].second.window = 300;
  cases[2].second.sinks = 70;
  cases[3].first = "chunks";
  cases[3].second.chunk = 1298;  // begins anew at the second of the rows
  cases[4].first = "capped, with slopes";
  cases[4].second.softcap = 2.0f;
  cases[4].second.alibi_slopes = slopes.view;
  cases[5].first = "chosen";
  cases[5].second.chosen = chosen.chosen;
  TestBench one(table_, 1);
  const auto run = [&](const OpContext& context, const Step& step, int page_size, int rows) {
    Pool keys(kPositions, kDim, page_size, DType::kBF16, 3);
    std::optional<Pool> values;
    if (step.params.window > 0)
      values.emplace(kPositions, step.value_dim, page_size, keys.dtype, 3);
    return RunLast(context, step, keys, values ? &*values : nullptr, q, rows);
  };
  for (auto& [name, params] : cases) {
    SCOPED_TRACE(name);
    Step step{kHeads, kDim, 256, 1, params};
    step.params.scale = 1.0f / std::sqrt(static_cast<float>(kDim));
    const auto got = run(bench_->context(), step, 16, kFresh);
    ExpectNear(got, run(oracle_->context(), step, 16, kFresh), 2e-5f);
    // Not cut at segments, each query alone, in other pages.
    EXPECT_TRUE(SameBits(run(one.context(), step, 7, 1), got));
  }
}

struct IndexCase {
  int n = 300, heads = 3, dim = 20, most = 50;
  DType dtype = DType::kF32;
};

// The chosen positions of every row, -1 behind the last.
std::vector<int32_t> RunIndex(const OpContext& context, const IndexCase& spec, Pool& pool,
                              const Tensor& q, const Tensor& weights, int chunk) {
  std::vector<int32_t> positions(static_cast<std::size_t>(spec.n * spec.most), -1);
  std::vector<int32_t> counts(static_cast<std::size_t>(spec.n));
  for (int from = 0; from < spec.n; from += chunk) {
    const int to = std::min(spec.n, from + chunk);
    const AttentionSequence sequence = pool.Write(context, from, to);
    const AttentionPlan plan = PlanAttention(context, {&sequence, 1}, pool.page_size);
    ChoosePositions(
        context, plan,
        {.q = q.Slice(0, from, to),
         .weights = weights.Slice(0, from, to),
         .scale = 0.25f,
         .keys = pool.tensor,
         .most = spec.most},
        {Tensor(positions.data() + from * spec.most, DType::kI32, {to - from, spec.most}),
         Tensor(counts.data() + from, DType::kI32, {to - from})});
    context.scratch->Reset();
  }
  for (int i = 0; i < spec.n; ++i) EXPECT_EQ(counts[i], std::min(i + 1, spec.most));
  return positions;
}

TEST_P(Latent, IndexTakesTheHighestScores) {
  for (const IndexCase& spec : {IndexCase{}, IndexCase{330, 64, 128, 280, DType::kBF16}}) {
    std::mt19937 rng(9);
    TestTensor q(Shape{spec.n, spec.heads, spec.dim}, 4);
    TestTensor weights(Shape{spec.n, spec.heads}, 1);
    q.Fill(rng);
    weights.Fill(rng);
    Pool pool(spec.n, spec.dim, 16, spec.dtype, 3);
    const auto got = RunIndex(bench_->context(), spec, pool, q.view, weights.view, spec.n);
    // Each choice against the scores in f64 of the keys as the pool has them.
    TestTensor keys(Shape{spec.n, spec.dim});
    std::vector<int32_t> rows;
    for (int i = 0; i < spec.n; ++i)
      rows.push_back(pool.table[static_cast<std::size_t>(i / 16)] * 16 + i % 16);
    EmbeddingLookup(oracle_->context(), rows,
                    Tensor(pool.tensor.raw(), spec.dtype, {pool.tensor.dim(0) * 16, spec.dim}),
                    keys.view);
    for (int i = spec.most; i < spec.n; ++i) {
      std::vector<double> scores;
      for (int j = 0; j <= i; ++j) {
        double sum = 0.0;
        for (int h = 0; h < spec.heads; ++h) {
          double dot = 0.0;
          for (int d = 0; d < spec.dim; ++d)
            dot += static_cast<double>(
                       q.view.data<float>()[i * q.view.stride(0) + h * q.view.stride(1) + d]) *
                   keys.view.data<float>()[j * spec.dim + d];
          sum += weights.view.data<float>()[i * weights.view.stride(0) + h] *
                 std::max(0.0, 0.25 * dot);
        }
        scores.push_back(sum);
      }
      std::vector<bool> taken(static_cast<std::size_t>(i + 1));
      double least = INFINITY, best = -INFINITY;
      int before = -1;
      for (int k = 0; k < spec.most; ++k) {
        const int at = got[static_cast<std::size_t>(i * spec.most + k)];
        ASSERT_GT(at, before) << "row " << i;
        ASSERT_LE(at, i);
        before = at;
        taken[static_cast<std::size_t>(at)] = true;
        least = std::min(least, scores[static_cast<std::size_t>(at)]);
      }
      for (int j = 0; j <= i; ++j)
        if (!taken[static_cast<std::size_t>(j)])
          best = std::max(best, scores[static_cast<std::size_t>(j)]);
      ASSERT_GE(least, best - 1e-4) << "row " << i;
    }
    Pool other(spec.n, spec.dim, 7, spec.dtype, 3);
    TestBench one(table_, 1);
    EXPECT_EQ(RunIndex(one.context(), spec, other, q.view, weights.view, 13), got);
  }
}

TEST_P(Latent, IndexBreaksTiesByPosition) {
  IndexCase spec{.n = 100, .heads = 1, .dim = 4, .most = 10};
  TestTensor q(Shape{spec.n, 1, 4}), weights(Shape{spec.n, 1});
  q.ForEach([](float& x) { x = 1.0f; });
  weights.ForEach([](float& x) { x = 1.0f; });
  Pool pool(spec.n, 4, 16, DType::kF32, 3);
  pool.rows.ForEach([](float& x) { x = -1.0f; });  // all scores are 0
  // But for two, and a third that is not a number.
  pool.rows.view.data<float>()[4 * 50] = 9.0f;
  pool.rows.view.data<float>()[4 * 70] = 8.0f;
  weights.view.data<float>()[99] = NAN;
  const auto got = RunIndex(bench_->context(), spec, pool, q.view, weights.view, spec.n);
  const auto row = [&](int i) {
    return std::vector<int32_t>(got.begin() + i * 10, got.begin() + (i + 1) * 10);
  };
  EXPECT_EQ(row(40), (std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(row(98), (std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6, 7, 50, 70}));
  EXPECT_EQ(row(99), (std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

// The products of one head are those of ops/linear.h, bit for bit.
TEST_P(Latent, HeadsAreLinears) {
  constexpr int kHeads = 7;
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kQ8_0}) {
    for (const auto& [rows, cols] : {std::pair(64, 32), std::pair(20, 96)}) {
      const int64_t bytes = Bytes(dtype, int64_t{kHeads} * rows * cols);
      std::vector<uint8_t> data(static_cast<std::size_t>(bytes));
      std::mt19937 rng(11);
      for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<uint8_t>(rng() & 0x3b);
      const Tensor all(data.data(), dtype, {kHeads, rows, cols});
      std::vector<Tensor> heads;
      for (int h = 0; h < kHeads; ++h) heads.push_back(all.Row(h));
      for (DType compute : {DType::kF32, DType::kBF16}) {
        auto matrix = PackExperts(bench_->context(), heads, compute);
        ASSERT_TRUE(matrix.ok()) << Message(matrix.status());
        for (int n : {1, 5, 40}) {
          SCOPED_TRACE(
              fmt::format("{} {}x{} in {}, {} rows", Name(dtype), rows, cols, Name(compute), n));
          TestTensor x(Shape{n, kHeads, cols}, 8), got(Shape{n, kHeads, rows}, 4);
          TestTensor want(Shape{n, kHeads, rows});
          x.Fill(rng);
          HeadLinear(bench_->context(), x.view, *matrix, 0, got.view);
          // From the middle, as a pass over some heads takes them.
          HeadLinear(bench_->context(), x.view.Slice(1, 3, 5), *matrix, 3, got.view.Slice(1, 3, 5));
          for (int h = 0; h < kHeads; ++h) {
            const Tensor in(x.view.data<float>() + h * x.view.stride(1), DType::kF32, {n, cols},
                            {x.view.stride(0), 1});
            const Tensor out(want.view.data<float>() + h * rows, DType::kF32, {n, rows},
                             {kHeads * rows, 1});
            Linear(bench_->context(), in, matrix->experts[static_cast<std::size_t>(h)], Tensor(),
                   out);
          }
          EXPECT_TRUE(SameBits(got.Values(), want.Values()));
          EXPECT_TRUE(got.PaddingIntact());
          bench_->scratch.Reset();
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, Latent,
                         testing::Values(IsaLevel::kReference, IsaLevel::kAvx2, IsaLevel::kAvx512,
                                         IsaLevel::kAvx512VnniBf16, IsaLevel::kAmx),
                         [](const auto& info) { return std::string(Name(info.param)); });

}  // namespace
}  // namespace banyan::ops
