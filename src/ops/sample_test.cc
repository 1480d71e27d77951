// SPDX-License-Identifier: Apache-2.0
#include "ops/sample.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "ops/gumbel.h"
#include "ops/testing.h"

namespace banyan::ops {
namespace {

using testing::ElementsAre;
using testing::Pair;

OpTable Table() {
  OpTable table;
  FillReference(table);
  return table;
}

class SampleTest : public testing::Test {
 protected:
  // The token for each seed in [0, count).
  std::vector<int32_t> Draw(std::vector<float> logits, SampleRow row, int count) {
    std::vector<SampleRow> rows;
    std::vector<float> all;
    for (int i = 0; i < count; ++i) {
      row.seed = static_cast<uint64_t>(i);
      rows.push_back(row);
      all.insert(all.end(), logits.begin(), logits.end());
    }
    std::vector<int32_t> tokens(static_cast<std::size_t>(count));
    Sample(bench_.context(),
           Tensor(all.data(), DType::kF32, {count, static_cast<int64_t>(logits.size())}), rows,
           tokens);
    return tokens;
  }
  std::set<int32_t> Support(const std::vector<float>& logits, const SampleRow& row) {
    const std::vector<int32_t> tokens = Draw(logits, row, 4000);
    return {tokens.begin(), tokens.end()};
  }

  TestBench bench_{Table(), 2};
};

// The hash against values of MurmurHash3 made by another implementation.
TEST_F(SampleTest, HashIsMurmur3) {
  EXPECT_EQ(SampleHash(1153769322, 0, 0), 1795620021u);
  EXPECT_EQ(SampleHash(1153769322, 0, 1), 1827116861u);
  EXPECT_EQ(SampleHash(1153769322, 7, 1023), 390523399u);
  EXPECT_EQ(SampleHash(1153769322, 24, 16384), 3048668828u);
}

TEST_F(SampleTest, NoiseIsFiniteAtBothEnds) {
  EXPECT_NEAR(GumbelOfHash(0xffffffffu), 32 * std::log(2.0), 1e-9);
  EXPECT_NEAR(GumbelOfHash(0), -std::log(std::numeric_limits<double>::max()), 1e-6);
  EXPECT_NEAR(GumbelOfHash(0x7fffffffu), -std::log(std::log(2.0)), 1e-8);
}

// logits ln(1..4): probabilities 0.1, 0.2, 0.3, 0.4.
const std::vector<float> kFour = {std::log(1.0f), std::log(2.0f), std::log(3.0f), std::log(4.0f)};

TEST_F(SampleTest, DrawsByProbability) {
  const auto count = [&](const SampleRow& row) {
    std::map<int32_t, int> counts;
    for (int32_t token : Draw(kFour, row, 20000)) ++counts[token];
    return counts;
  };
  auto counts = count({.temperature = 1.0f});
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(counts[i], 2000 * (i + 1), 250) << i;
  counts = count({.temperature = 0.5f});  // squares: 1, 4, 9, 16 of 30
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(counts[i], 20000.0 * (i + 1) * (i + 1) / 30, 350) << i;
}

TEST_F(SampleTest, Filters) {
  EXPECT_THAT(Support(kFour, {.temperature = 1.0f, .top_k = 2}), ElementsAre(2, 3));
  // A token stays when the sum before it does not exceed top_p: 0.4, then 0.7.
  EXPECT_THAT(Support(kFour, {.temperature = 1.0f, .top_p = 0.39f}), ElementsAre(3));
  EXPECT_THAT(Support(kFour, {.temperature = 1.0f, .top_p = 0.41f}), ElementsAre(2, 3));
  EXPECT_THAT(Support(kFour, {.temperature = 1.0f, .top_p = 0.75f}), ElementsAre(1, 2, 3));
  // top_k leaves 0.4 and 0.3, which are not renormalized before top_p looks.
  EXPECT_THAT(Support(kFour, {.temperature = 1.0f, .top_k = 2, .top_p = 0.41f}), ElementsAre(2, 3));
  EXPECT_THAT(Support(kFour, {.temperature = 1.0f, .min_p = 0.45f}), ElementsAre(1, 2, 3));
  EXPECT_THAT(Support(kFour, {.temperature = 1.0f, .min_p = 0.55f}), ElementsAre(2, 3));
}

TEST_F(SampleTest, GreedyAndTies) {
  EXPECT_THAT(Support({1, 7, 7, 0}, {.temperature = 0.0f}), ElementsAre(1));
  EXPECT_THAT(Support({1, 7, 7, 0}, {.temperature = 5.0f, .top_k = 1}), ElementsAre(1));
}

TEST_F(SampleTest, BrokenRowsGiveNoToken) {
  const float inf = std::numeric_limits<float>::infinity();
  for (float temperature : {0.0f, 1.0f}) {
    EXPECT_THAT(Support({1, NAN, 2}, {.temperature = temperature}), ElementsAre(-1));
    EXPECT_THAT(Support({1, inf, 2}, {.temperature = temperature}), ElementsAre(-1));
    EXPECT_THAT(Support({-inf, -inf}, {.temperature = temperature}), ElementsAre(-1));
    EXPECT_THAT(Support({-inf, 3, -inf}, {.temperature = temperature}), ElementsAre(1));
  }
}

// The rule written out once more, for a row of each kind.
TEST_F(SampleTest, SeedAndPositionDecide) {
  for (uint64_t seed : {0ull, 42ull, 0x123456789abcdefull}) {
    int32_t best = 0;
    double top = -1e300;
    for (int32_t i = 0; i < 4; ++i) {
      const double score = std::log(0.1 * (i + 1)) + Gumbel(seed, 9, static_cast<uint32_t>(i));
      if (score > top) {
        top = score;
        best = i;
      }
    }
    std::vector<float> logits = kFour;
    const SampleRow row{.temperature = 1.0f, .seed = seed, .position = 9};
    std::vector<int32_t> token(1);
    Sample(bench_.context(), Tensor(logits.data(), DType::kF32, {1, 4}), {&row, 1}, token);
    EXPECT_EQ(token[0], best);
  }
}

TEST_F(SampleTest, LogSoftmax) {
  std::vector<float> logits = kFour;
  LogSoftmax(bench_.context(), Tensor(logits.data(), DType::kF32, {1, 4}), std::vector<float>{1});
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(logits[i], std::log(0.1f * (i + 1)), 1e-6f);
  logits = kFour;
  LogSoftmax(bench_.context(), Tensor(logits.data(), DType::kF32, {1, 4}), std::vector<float>{0.5});
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(std::exp(logits[i]), (i + 1) * (i + 1) / 30.0f, 1e-6f);
}

TEST_F(SampleTest, TopN) {
  std::vector<float> row(1000, -1.0f);
  row[999] = 5;
  row[3] = 7;
  row[500] = 5;
  row[4] = NAN;
  EXPECT_THAT(TopN(row, 3), ElementsAre(Pair(7, 3), Pair(5, 500), Pair(5, 999)));
  EXPECT_THAT(TopN(row, 5),
              ElementsAre(Pair(7, 3), Pair(5, 500), Pair(5, 999), Pair(-1, 0), Pair(-1, 1)));
  EXPECT_THAT(TopN(row, 0), ElementsAre());
  EXPECT_EQ(TopN(std::span<const float>(row).first(3), 9).size(), 3u);
}

}  // namespace
}  // namespace banyan::ops
