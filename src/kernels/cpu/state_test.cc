// SPDX-License-Identifier: Apache-2.0
// Kernels with a carried state at every CPU level: against the reference, and that cuts, batches
// and threads change no bit.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/table.h"
#include "ops/state_testing.h"

namespace banyan::ops {
namespace {

class StateConformance : public testing::TestWithParam<IsaLevel> {
 protected:
  void SetUp() override {
    StatusOr<OpTable> made = kernels::MakeCpuTable(GetParam());
    if (!made.ok()) GTEST_SKIP() << Message(made.status());
    table_ = *made;
  }
  OpTable table_;
};

std::vector<StateOp> Cases(StateWeights& weights) {
  std::vector<StateOp> ops;
  for (int64_t kernel = kMinConvKernel; kernel <= kMaxConvKernel; ++kernel)
    ops.push_back(ConvOp(weights, kernel, 13 * kernel, kernel % 2 == 0, kernel % 3 != 0));
  for (int64_t state_dim : {1, 4, 8, 15, 16, 33, 128})
    ops.push_back(ScanOp(weights, 61 + state_dim, state_dim, state_dim != 8));
  for (bool delta : {false, true}) {
    for (int64_t value_dim : {1, 8, 24, 64, 67, 128}) {
      for (int64_t key_dim : {1, 7, 16, 128}) {
        RecurrenceCase c{1, 2, key_dim, value_dim, true, true, delta};
        if (value_dim == 24) c.key_heads = 2;
        if (value_dim == 64) c.heads = 4, c.key_heads = 2, c.beta = c.skip = false;
        ops.push_back(RecurrenceOp(weights, c));
      }
    }
  }
  return ops;
}

void ExpectNear(const std::vector<float>& got, const std::vector<float>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_LE(std::fabs(got[i] - want[i]), 3e-5f * (1 + std::fabs(want[i]))) << "element " << i;
}

TEST_P(StateConformance, AsTheReference) {
  OpTable reference;
  FillReference(reference);
  TestBench bench(table_, 2), oracle(reference);
  StateWeights weights(1);
  const std::vector<int> lengths = {40, 1, 7};
  for (const StateOp& op : Cases(weights)) {
    SCOPED_TRACE(op.name);
    const StateResult got = RunStateOp(bench.context(), op, lengths, 2, 40);
    const StateResult want = RunStateOp(oracle.context(), op, lengths, 2, 40);
    for (std::size_t s = 0; s < lengths.size(); ++s) ExpectNear(got.out[s], want.out[s]);
    for (const auto& [where, state] : want.states) ExpectNear(got.states.at(where), state);
  }
}

TEST_P(StateConformance, BitsDependOnTheSequenceAlone) {
  TestBench one(table_, 1), three(table_, 3);
  StateWeights weights(3);
  const std::vector<int> lengths = {23, 1, 7};
  for (const StateOp& op : Cases(weights)) {
    SCOPED_TRACE(op.name);
    const StateResult want = RunStateOp(one.context(), op, lengths, 4, 1);
    for (int chunk : {2, 5, 23}) {
      for (bool alone : {false, true}) {
        const StateResult got = RunStateOp(three.context(), op, lengths, 4, chunk, alone);
        for (std::size_t s = 0; s < lengths.size(); ++s)
          EXPECT_TRUE(SameBits(got.out[s], want.out[s])) << "chunk " << chunk << " sequence " << s;
        for (const auto& [where, state] : got.states)
          EXPECT_TRUE(SameBits(state, want.states.at(where)))
              << "chunk " << chunk << " sequence " << where.first << " after " << where.second;
      }
    }
  }
}

TEST_P(StateConformance, SoftplusOverTheWholeRange) {
  TestBench bench(table_);
  std::vector<float> values = {0.0f, -0.0f, 20.0f, 88.8f, 104.0f, 1e30f, 1e-30f};
  for (float x = 1e-6f; x < 80.0f; x *= 1.001f) values.push_back(x), values.push_back(-x);
  const auto n = static_cast<int64_t>(values.size());
  const Tensor x(values.data(), DType::kF32, Shape{1, n});
  TestTensor zero(Shape{n}), dt(Shape{1, n}), decay(Shape{1, n});
  zero.ForEach([](float& v) { v = 0; });
  StepAndDecay(bench.context(), x, zero.view, zero.view, 0.0f, INFINITY, dt.view, decay.view);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double v = values[i];
    const double want = std::max(v, 0.0) + std::log1p(std::exp(-std::fabs(v)));
    ASSERT_LE(std::fabs(dt.data[i] - want), 4 * 0x1p-23 * want) << "softplus of " << v;
    ASSERT_EQ(decay.data[i], 1.0f);
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, StateConformance,
                         testing::Values(IsaLevel::kReference, IsaLevel::kAvx2, IsaLevel::kAvx512),
                         [](const auto& info) { return std::string(Name(info.param)); });

}  // namespace
}  // namespace banyan::ops
