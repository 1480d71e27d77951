// SPDX-License-Identifier: Apache-2.0
// Lightning attention in blocks: with exact tables it is the recurrence, and cuts change no bit.
#include "ops/lightning.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/recurrence.h"
#include "ops/testing.h"

namespace banyan::ops {
namespace {

constexpr int64_t kRows = 21, kHeads = 2, kDim = 4, kPlaces = 8, kPage = 3;

class LightningTest : public testing::Test {
 protected:
  LightningTest() {
    FillReference(bench_.table);
    std::mt19937 rng(1);
    for (TestTensor* x : {&q_, &k_, &v_}) x->Fill(rng);
    for (int64_t h = 0; h < kHeads; ++h) {
      const double slope = 0.1 + 0.3 * static_cast<double>(h);
      for (int64_t i = 0; i < kPlaces; ++i) {
        const auto at = static_cast<std::size_t>(h * kPlaces + i);
        query_.data[at] = static_cast<float>(std::exp(-slope * static_cast<double>(i + 1)));
        key_.data[at] = static_cast<float>(std::exp(-slope * static_cast<double>(kPlaces - 1 - i)));
        distance_.data[at] = static_cast<float>(std::exp(-slope * static_cast<double>(i)));
      }
      whole_.data[static_cast<std::size_t>(h)] = static_cast<float>(std::exp(-slope * kPlaces));
      decay_.data[static_cast<std::size_t>(h)] = static_cast<float>(std::exp(-slope));
    }
    for (PageId i = 0; i < 7; ++i) pages_.push_back((i * 3) % 7);
  }

  // `chunk` rows at a time, with a snapshot in the middle of each step.
  std::vector<float> Run(int chunk, std::vector<std::vector<float>>* states = nullptr) {
    TestTensor keys(Shape{7, kPage, kHeads, kDim}), values(Shape{7, kPage, kHeads, kDim});
    TestTensor state(Shape{3, kHeads * kDim * kDim}), out(Shape{kRows, kHeads, kDim});
    state.ForEach([&](float& x) { x = 1e6f * static_cast<float>(chunk); });
    const PagedKv cache{keys.view, values.view};
    for (int first = 0; first < kRows; first += chunk) {
      const int n = std::min<int>(chunk, kRows - first);
      const auto rows = [&](TestTensor& x) { return x.view.Slice(0, first, first + n); };
      const AttentionSequence sequence{0, n, first + n, pages_};
      const StateSnapshot snapshot{(n + 1) / 2, 2};
      const StateSequence owner{0, n, 1, first == 0, {&snapshot, 1}};
      const AttentionPlan plan = PlanAttention(bench_.context(), {&sequence, 1}, kPage);
      WriteKv(bench_.context(), plan, rows(k_), rows(v_), cache);
      LightningBlocks(bench_.context(), {query_.view, key_.view, distance_.view, whole_.view},
                      {&sequence, 1}, {&owner, 1}, rows(q_), cache, state.view, rows(out));
      const std::vector<float> all = state.Values();
      if (states != nullptr)
        states->emplace_back(all.begin() + 2 * kHeads * kDim * kDim, all.end());
    }
    return out.Values();
  }

  TestBench bench_{OpTable{}, 2};
  TestTensor q_{Shape{kRows, kHeads, kDim}}, k_{Shape{kRows, kHeads, kDim}};
  TestTensor v_{Shape{kRows, kHeads, kDim}};
  TestTensor query_{Shape{kHeads, kPlaces}}, key_{Shape{kHeads, kPlaces}};
  TestTensor distance_{Shape{kHeads, kPlaces}}, whole_{Shape{kHeads}}, decay_{Shape{kHeads}};
  std::vector<PageId> pages_;
};

TEST_F(LightningTest, IsTheRecurrenceWhereTablesAreExact) {
  TestTensor state(Shape{2, kHeads * kDim * kDim}), out(Shape{kRows, kHeads, kDim});
  RecurrenceInputs inputs{.q = q_.view, .k = k_.view, .v = v_.view};
  inputs.decay = Tensor(decay_.data.data(), DType::kF32, {kRows, kHeads}, {0, 1});
  const StateSequence sequence{0, kRows, 1, true, {}};
  LinearRecurrence(bench_.context(), inputs, {&sequence, 1}, state.view, out.view);
  const std::vector<float> want = out.Values(), got = Run(kRows);
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 2e-5f) << i;
}

TEST_F(LightningTest, CutsChangeNothing) {
  std::vector<std::vector<float>> each;
  const std::vector<float> want = Run(1, &each);
  for (int chunk : {2, 7, 8, 9, 21}) {
    std::vector<std::vector<float>> states;
    EXPECT_TRUE(SameBits(Run(chunk, &states), want)) << chunk;
    int first = 0;
    for (const std::vector<float>& state : states) {
      const int n = std::min<int>(chunk, kRows - first);
      EXPECT_TRUE(SameBits(state, each[static_cast<std::size_t>(first + (n + 1) / 2 - 1)]))
          << chunk << " from " << first;
      first += n;
    }
  }
}

}  // namespace
}  // namespace banyan::ops
