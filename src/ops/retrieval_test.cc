// SPDX-License-Identifier: Apache-2.0
// Retrieved experts against all of them by brute force; rows and numbers in fewer bits.
#include "ops/retrieval.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "ops/reference/half.h"
#include "ops/split.h"
#include "ops/testing.h"

namespace banyan::ops {
namespace {

class RetrievalTest : public ::testing::Test {
 protected:
  static OpTable Table() {
    OpTable table;
    FillReference(table);
    return table;
  }
  TestBench bench_{Table(), 2};
};

// act(down . x) * up of every expert, those that were not chosen with weight 0.
std::vector<double> BruteForce(const TestTensor& x, const TestTensor& logits,
                               const TestTensor& down, const TestTensor& up, int64_t row, int k) {
  const int64_t keys = logits.view.dim(1) / 2, dim = x.view.dim(1);
  const auto at = [](const TestTensor& t, int64_t i, int64_t j) {
    return double{t.view.data<float>()[i * t.view.stride(0) + j]};
  };
  std::vector<std::pair<double, int64_t>> scores;
  for (int64_t e = 0; e < keys * keys; ++e)
    scores.emplace_back(at(logits, row, e / keys) + at(logits, row, keys + e % keys), e);
  std::sort(scores.rbegin(), scores.rend());
  double sum = 0.0;
  for (int i = 0; i < k; ++i) sum += std::exp(scores[i].first);
  std::vector<double> out(dim);
  for (int i = 0; i < k; ++i) {
    const int64_t e = scores[i].second;
    double unit = 0.0;
    for (int64_t d = 0; d < dim; ++d) unit += at(x, row, d) * at(down, e, d);
    unit *= std::exp(scores[i].first) / sum / (1.0 + std::exp(-unit));
    for (int64_t d = 0; d < dim; ++d) out[d] += unit * at(up, e, d);
  }
  return out;
}

TEST_F(RetrievalTest, TakesTheBestSums) {
  std::mt19937 rng(5);
  for (const auto& [keys, k] : {std::pair(1, 1), {2, 4}, {3, 2}, {5, 7}, {4, 16}, {16, 9}}) {
    TestTensor x(Shape{6, 24}, 3), logits(Shape{6, 2 * keys}, 1);
    TestTensor down(Shape{keys * keys + 2, 24}), up(Shape{keys * keys + 2, 24});
    TestTensor out(Shape{6, 24}, 5);
    for (TestTensor* tensor : {&x, &logits, &down, &up}) tensor->Fill(rng);
    out.ForEach([](float& value) { value = 0.5f; });
    RetrieveExperts(bench_.context(), {.x = x.view,
                                       .logits = logits.view,
                                       .top_k = k,
                                       .down = down.view,
                                       .up = up.view,
                                       .out = out.view});
    for (int64_t row = 0; row < 6; ++row) {
      const std::vector<double> want = BruteForce(x, logits, down, up, row, k);
      const float* got = out.view.data<float>() + row * out.view.stride(0);
      for (int64_t d = 0; d < 24; ++d)
        EXPECT_NEAR(got[d], want[d] + 0.5, 1e-4) << keys << " keys, " << k << " experts";
    }
  }
}

TEST_F(RetrievalTest, NoNumberComesOfNoNumber) {
  TestTensor x(Shape{2, 8}), logits(Shape{2, 6}), down(Shape{9, 8}), up(Shape{9, 8});
  TestTensor out(Shape{2, 8});
  std::mt19937 rng(6);
  for (TestTensor* tensor : {&x, &logits, &down, &up, &out}) tensor->Fill(rng);
  logits.view.data<float>()[4] = NAN;
  RetrieveExperts(bench_.context(), {.x = x.view,
                                     .logits = logits.view,
                                     .top_k = 2,
                                     .down = down.view,
                                     .up = up.view,
                                     .out = out.view});
  EXPECT_TRUE(std::isnan(out.view.data<float>()[0]));
  EXPECT_FALSE(std::isnan(out.view.data<float>()[8]));
}

TEST_F(RetrievalTest, NumbersAreSumsOfShortOnes) {
  TestTensor x(Shape{2, 3}, 1), out(Shape{2, 3, kSplitParts}, 2);
  const std::vector<float> values = {0.0f, 1.2345678f, -3e-5f, 123456.7f, INFINITY, 1.0f};
  std::size_t next = 0;
  x.ForEach([&](float& value) { value = values[next++]; });
  SplitToBf16(bench_.context(), x.view, out.view);
  next = 0;
  std::vector<float> parts;
  out.ForEach([&](float& part) {
    EXPECT_EQ(FromBf16(ToBf16(part)), part);
    parts.push_back(part);
    if (parts.size() < kSplitParts) return;
    EXPECT_EQ(parts[2] + parts[1] + parts[0], values[next++]);
    parts.clear();
  });
}

TEST_F(RetrievalTest, RowsAreRoundedToTheirLargest) {
  TestTensor x(Shape{3, 4}, 2), out(Shape{3, 4}, 1);
  const std::vector<float> values = {254, -3, 1, 0, 0, 0, 0, 1e-7f, -0.5f, 0.25f, 0.125f, 0.001f};
  std::size_t next = 0;
  x.ForEach([&](float& value) { value = values[next++]; });
  std::vector<float> steps(3);
  RoundRows(bench_.context(), x.view, out.view, steps);
  std::vector<float> got;
  out.ForEach([&](float& value) { got.push_back(value); });
  // -1.5 and 0.5 go to the even one; what is less than 1e-5 is a row of small values.
  EXPECT_EQ(got, (std::vector<float>{127, -2, 0, 0, 0, 0, 0, 1, -127, 64, 32, 0}));
  EXPECT_FLOAT_EQ(steps[0], 2.0f);
  EXPECT_FLOAT_EQ(steps[1], 1e-5f / 127);
  EXPECT_FLOAT_EQ(steps[2], 0.5f / 127);
}

}  // namespace
}  // namespace banyan::ops
