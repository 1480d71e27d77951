// SPDX-License-Identifier: Apache-2.0
// Ops with a carried state: the reference against formulas over whole sequences, and that cuts,
// batches and snapshots change nothing.
#include <gtest/gtest.h>

#include <cmath>

#include "ops/state_testing.h"

namespace banyan::ops {
namespace {

class StateOps : public testing::Test {
 protected:
  StateOps() { FillReference(bench_.table); }
  TestBench bench_{OpTable{}, 2};
};

// A step of one fresh sequence in slot 1 of two.
template <typename Fn>
std::vector<float> RunWhole(int64_t rows, int64_t state_size, const TestTensor& out, Fn&& fn) {
  TestTensor state(Shape{2, state_size});
  const StateSequence sequence{0, static_cast<int32_t>(rows), 1, true, {}};
  fn(std::span(&sequence, 1), state.view, out.view);
  return const_cast<TestTensor&>(out).Values();
}

void ExpectNear(const std::vector<float>& got, const std::vector<double>& want, double bound) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], want[i], bound * (1 + std::fabs(want[i]))) << "element " << i;
}

TEST_F(StateOps, ConvIsAConvolution) {
  std::mt19937 rng(1);
  const int64_t rows = 9, channels = 5, kernel = 4;
  TestTensor x(Shape{rows, channels}), weight(Shape{kernel, channels}), bias(Shape{channels});
  TestTensor out(Shape{rows, channels});
  x.Fill(rng), weight.Fill(rng), bias.Fill(rng);
  for (bool silu : {false, true}) {
    std::vector<double> want;
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t c = 0; c < channels; ++c) {
        double sum = bias.data[c];
        for (int64_t back = 0; back < kernel && back <= t; ++back)
          sum +=
              weight.data[(kernel - 1 - back) * channels + c] * x.data[(t - back) * channels + c];
        want.push_back(silu ? sum / (1 + std::exp(-sum)) : sum);
      }
    }
    const ConvParams params{weight.view, bias.view, silu};
    ExpectNear(RunWhole(rows, (kernel - 1) * channels, out,
                        [&](auto sequences, const Tensor& state, const Tensor& to) {
                          CausalConv(bench_.context(), params, sequences, x.view, state, to);
                        }),
               want, 1e-6);
  }
}

TEST_F(StateOps, ScanIsASumOverThePast) {
  std::mt19937 rng(2);
  const int64_t rows = 7, channels = 3, n = 4;
  TestTensor x(Shape{rows, channels}), dt(Shape{rows, channels}), b(Shape{rows, n});
  TestTensor c(Shape{rows, n}), z(Shape{rows, channels}), a(Shape{channels, n});
  TestTensor skip(Shape{channels}), out(Shape{rows, channels});
  for (TestTensor* t : {&x, &dt, &b, &c, &z, &skip, &a}) t->Fill(rng);
  a.ForEach([](float& v) { v = -std::fabs(v); });
  const auto step = [&](int64_t t, int64_t ch) {
    return std::log1p(std::exp(double{dt.data[t * channels + ch]}));
  };
  std::vector<double> want;
  for (int64_t t = 0; t < rows; ++t) {
    for (int64_t ch = 0; ch < channels; ++ch) {
      double y = skip.data[ch] * double{x.data[t * channels + ch]};
      for (int64_t s = 0; s <= t; ++s) {
        double time = 0;  // from s to t
        for (int64_t i = s + 1; i <= t; ++i) time += step(i, ch);
        for (int64_t i = 0; i < n; ++i)
          y += std::exp(time * a.data[ch * n + i]) * step(s, ch) * x.data[s * channels + ch] *
               b.data[s * n + i] * c.data[t * n + i];
      }
      const double gate = z.data[t * channels + ch];
      want.push_back(y * gate / (1 + std::exp(-gate)));
    }
  }
  ExpectNear(RunWhole(rows, channels * n, out,
                      [&](auto sequences, const Tensor& state, const Tensor& to) {
                        SelectiveScan(bench_.context(),
                                      {x.view, dt.view, b.view, c.view, z.view, a.view, skip.view},
                                      sequences, state, to);
                      }),
             want, 1e-5);
}

// Without the delta rule: out[t] = sum over s <= t of decay(s..t) beta[s] (q[t] . k[s]) v[s].
TEST_F(StateOps, RecurrenceIsDecayedAttention) {
  std::mt19937 rng(3);
  const int64_t rows = 6, key_heads = 2, heads = 4, dk = 3, dv = 5;
  TestTensor q(Shape{rows, key_heads, dk}), k(Shape{rows, key_heads, dk});
  TestTensor v(Shape{rows, heads, dv}), decay(Shape{rows, heads}), beta(Shape{rows, heads});
  TestTensor skip(Shape{heads}), out(Shape{rows, heads, dv});
  for (TestTensor* t : {&q, &k, &v, &decay, &beta, &skip}) t->Fill(rng);
  decay.ForEach([](float& x) { x = 1 / (1 + std::exp(x)); });
  std::vector<double> want;
  for (int64_t t = 0; t < rows; ++t) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t i = 0; i < dv; ++i) {
        double y = skip.data[h] * double{v.data[(t * heads + h) * dv + i]};
        for (int64_t s = 0; s <= t; ++s) {
          double weight = beta.data[s * heads + h];
          for (int64_t r = s + 1; r <= t; ++r) weight *= decay.data[r * heads + h];
          double product = 0;
          for (int64_t j = 0; j < dk; ++j)
            product += q.data[(t * key_heads + h / 2) * dk + j] *
                       double{k.data[(s * key_heads + h / 2) * dk + j]};
          y += weight * product * v.data[(s * heads + h) * dv + i];
        }
        want.push_back(y);
      }
    }
  }
  const RecurrenceInputs inputs{q.view, k.view, v.view, decay.view, beta.view, skip.view, false};
  ExpectNear(RunWhole(rows, heads * dk * dv, out,
                      [&](auto sequences, const Tensor& state, const Tensor& to) {
                        LinearRecurrence(bench_.context(), inputs, sequences, state, to);
                      }),
             want, 1e-5);
}

// With unit keys, beta 1 and no decay the delta rule overwrites: the state maps each key to the
// last value written with it.
TEST_F(StateOps, DeltaRuleOverwrites) {
  const int64_t rows = 4, d = 2;
  TestTensor q(Shape{rows, 1, d}), k(Shape{rows, 1, d}), v(Shape{rows, 1, d});
  TestTensor decay(Shape{rows, 1}), beta(Shape{rows, 1}), out(Shape{rows, 1, d});
  const std::vector<float> keys = {1, 0, 0, 1, 1, 0, 0, 1}, queries = {1, 0, 1, 0, 1, 0, 1, 1};
  const std::vector<float> values = {1, 2, 3, 4, 5, 6, 7, 8};
  std::copy(keys.begin(), keys.end(), k.data.begin());
  std::copy(queries.begin(), queries.end(), q.data.begin());
  std::copy(values.begin(), values.end(), v.data.begin());
  decay.ForEach([](float& x) { x = 1; });
  beta.ForEach([](float& x) { x = 1; });
  RecurrenceInputs inputs{q.view, k.view, v.view, decay.view, beta.view, {}, true};
  const auto run = [&](auto sequences, const Tensor& state, const Tensor& to) {
    LinearRecurrence(bench_.context(), inputs, sequences, state, to);
  };
  ExpectNear(RunWhole(rows, d * d, out, run), {1, 2, 1, 2, 5, 6, 12, 14}, 0);
  // Half of the old value is forgotten before it is compared with the new one, half of the
  // difference is learned: S = 0.5, then 0.5 * 0.5 + 0.5 * (5 - 0.25) for the first column.
  decay.ForEach([](float& x) { x = 0.5f; });
  beta.ForEach([](float& x) { x = 0.5f; });
  const std::vector<float> same = {1, 0, 1, 0, 1, 0, 1, 0};
  std::copy(same.begin(), same.end(), k.data.begin());
  std::copy(same.begin(), same.end(), q.data.begin());
  const std::vector<float> got = RunWhole(rows, d * d, out, run);
  EXPECT_EQ(got[0], 0.5f);
  EXPECT_EQ(got[2], 0.5f * 0.5f + 0.5f * (3 - 0.25f));
}

TEST_F(StateOps, StepAndDecayClamps) {
  TestTensor x(Shape{1, 4}), bias(Shape{4}), a(Shape{4}), dt(Shape{1, 4}), decay(Shape{1, 4});
  const std::vector<float> raw = {-10, 0, 5, 100};
  std::copy(raw.begin(), raw.end(), x.data.begin());
  bias.ForEach([](float& v) { v = 1; });
  a.ForEach([](float& v) { v = -0.5f; });
  StepAndDecay(bench_.context(), x.view, bias.view, a.view, 0.01f, 6.001f, dt.view, decay.view);
  ExpectNear(dt.Values(), {0.01, std::log1p(std::exp(1.0)), 6.001, 6.001}, 1e-6);
  ExpectNear(decay.Values(),
             {std::exp(-0.005), std::exp(-0.5 * std::log1p(std::exp(1.0))), std::exp(-3.0005),
              std::exp(-3.0005)},
             1e-6);
}

TEST_F(StateOps, CutsAndBatchesChangeNothing) {
  StateWeights weights(4);
  const std::vector<StateOp> ops = {
      ConvOp(weights, 2, 7, true, true), ConvOp(weights, 4, 33, false, false),
      ScanOp(weights, 70, 5, true), RecurrenceOp(weights, {1, 2, 5, 67}),
      RecurrenceOp(weights, {.heads = 3, .key_dim = 8, .value_dim = 16, .delta = true})};
  const std::vector<int> lengths = {13, 1, 6};
  for (const StateOp& op : ops) {
    SCOPED_TRACE(op.name);
    const StateResult want = RunStateOp(bench_.context(), op, lengths, 5, 1);
    for (int chunk = 2; chunk <= 13; ++chunk) {
      const StateResult got = RunStateOp(bench_.context(), op, lengths, 5, chunk, chunk % 2 == 0);
      for (std::size_t s = 0; s < lengths.size(); ++s)
        EXPECT_TRUE(SameBits(got.out[s], want.out[s])) << "chunk " << chunk << " sequence " << s;
      for (const auto& [where, state] : got.states)
        EXPECT_TRUE(SameBits(state, want.states.at(where)))
            << "chunk " << chunk << " sequence " << where.first << " after " << where.second;
    }
  }
}

}  // namespace
}  // namespace banyan::ops
