// SPDX-License-Identifier: Apache-2.0
// Experts at every level: the bits of the plain composition of ops at that level, near the
// reference's values, and of each row what it is alone. Routing: rules worked out by hand.
#include "ops/moe.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/linear_testing.h"
#include "kernels/cpu/table.h"
#include "ops/testing.h"

namespace banyan::kernels {
namespace {

using ops::ExpertMatrix;
using ops::ExpertMlp;
using ops::ExpertsCall;
using ops::TestBench;
using ops::TestTensor;

// The raw matrices of experts, and biases.
struct Weights {
  std::vector<Matrix> gate, up, down;
  std::unique_ptr<TestTensor> up_bias, gate_bias, down_bias;

  Weights(int experts, int64_t hidden, int64_t cols, DType up_type, DType down_type, bool gated,
          bool bias, std::mt19937& random) {
    for (int e = 0; e < experts; ++e) {
      if (gated) gate.push_back(RandomMatrix(up_type, hidden, cols, random));
      up.push_back(RandomMatrix(up_type, hidden, cols, random));
      down.push_back(RandomMatrix(down_type, cols, hidden, random));
    }
    if (!bias) return;
    const auto make = [&](int64_t rows) {
      auto tensor = std::make_unique<TestTensor>(Shape{experts, rows});
      tensor->Fill(random);
      return tensor;
    };
    gate_bias = make(hidden), up_bias = make(hidden), down_bias = make(cols);
  }

  ExpertMlp Pack(const ops::OpContext& context, DType compute) const {
    ExpertMlp mlp;
    const auto pack = [&](const std::vector<Matrix>& matrices, const auto& bias) {
      std::vector<Tensor> tensors;
      for (const Matrix& matrix : matrices) tensors.push_back(matrix.tensor);
      ExpertMatrix packed = ops::PackExperts(context, tensors, compute).value();
      if (bias != nullptr) packed.bias = bias->view;
      return packed;
    };
    if (!gate.empty()) mlp.gate = pack(gate, gate_bias);
    mlp.up = pack(up, up_bias);
    mlp.down = pack(down, down_bias);
    return mlp;
  }
};

struct MoeCase {
  DType up = DType::kF32, down = DType::kF32, compute = DType::kF32;
  int experts = 8, k = 2;
  int64_t n = 5, hidden = 48, cols = 64;
  bool gated = true, bias = false, scale_input = false, shared = false, shared_gate = false;
  bool limit = false;
};

std::vector<MoeCase> MoeCases() {
  std::vector<MoeCase> cases;
  for (int64_t n : {1, 2, 5, 40})
    for (bool shared : {false, true}) cases.push_back({.n = n, .shared = shared});
  for (DType type : {DType::kBF16, DType::kF16})
    for (DType compute : {DType::kF32, type})
      for (int64_t n : {1, 23}) cases.push_back({type, type, compute, 8, 3, n, 40, 64});
  for (DType type : {DType::kQ4_0, DType::kQ5_1, DType::kQ8_0})
    for (int64_t n : {1, 3, 50})
      cases.push_back(
          {type, DType::kQ8_0, DType::kF32, 4, 2, n, 96, 64, true, n == 3, false, true, n == 50});
  // Hidden rows that are not whole groups of 16, the formats of a Q4_K_M file, all of a kind.
  cases.push_back({DType::kQ4_0, DType::kF16, DType::kF32, 4, 2, 9, 40, 64});
  for (int64_t n : {1, 40})
    cases.push_back(
        {DType::kQ4_K, DType::kQ6_K, DType::kF32, 4, 2, n, 256, 512, true, false, false, true});
  cases.push_back({.n = 7, .gated = false, .bias = true, .shared = true});
  cases.push_back({.k = 1, .n = 1, .scale_input = true, .shared = true});
  cases.push_back({.k = 1, .n = 12, .scale_input = true});
  cases.push_back({.k = 4, .n = 6, .bias = true, .limit = true});
  return cases;
}

class MoeAtLevel : public testing::TestWithParam<IsaLevel> {
 protected:
  void SetUp() override {
    if (GetParam() > DetectIsa()) GTEST_SKIP() << "this machine lacks " << ops::Name(GetParam());
  }
};

// Rows of a case through the experts with one table.
struct Rig {
  Rig(const MoeCase& c, std::mt19937& random)
      : c(c),
        routed(c.experts, c.hidden, c.cols, c.up, c.down, c.gated, c.bias, random),
        shared(1, 2 * c.hidden, c.cols, c.up, c.down, c.gated, c.bias, random),
        x(Shape{c.n, c.cols}, 3),
        weights(Shape{c.n, c.k}),
        shared_weights(Shape{c.n}) {
    x.Fill(random);
    weights.Fill(random);
    shared_weights.Fill(random);
    for (int64_t i = 0; i < c.n; ++i) {
      std::vector<int32_t> all(c.experts);
      std::iota(all.begin(), all.end(), 0);
      std::shuffle(all.begin(), all.end(), random);
      ids.insert(ids.end(), all.begin(), all.begin() + c.k);
    }
  }

  // Rows [begin, end).
  std::vector<float> Run(const ops::OpTable& table, int threads, int64_t begin, int64_t end) {
    TestBench bench(table, threads);
    ExpertMlp mlp = routed.Pack(bench.context(), c.compute);
    ExpertMlp beside = shared.Pack(bench.context(), c.compute);
    mlp.swiglu_limit = beside.swiglu_limit = c.limit ? 0.5f : 0.0f;
    TestTensor out(Shape{end - begin, c.cols}, 5);
    ExpertsCall call;
    call.x = x.view.Slice(0, begin, end);
    call.routed = &mlp;
    call.ids = Tensor(ids.data(), DType::kI32, {c.n, c.k}).Slice(0, begin, end);
    call.weights = weights.view.Slice(0, begin, end);
    call.scale_input = c.scale_input;
    if (c.shared) call.shared = &beside;
    if (c.shared_gate) call.shared_weights = shared_weights.view.Slice(0, begin, end);
    call.out = out.view;
    ops::Experts(bench.context(), call);
    EXPECT_TRUE(out.PaddingIntact());
    return out.Values();
  }

  const MoeCase c;
  Weights routed, shared;
  TestTensor x, weights, shared_weights;
  std::vector<int32_t> ids;
};

TEST_P(MoeAtLevel, HasTheBitsOfTheComposition) {
  std::mt19937 random(1);
  ops::OpTable reference;
  ops::FillReference(reference);
  const ops::OpTable level = MakeCpuTable(GetParam()).value();
  ops::OpTable composed = level;
  composed.moe.run = reference.moe.run;
  composed.moe.pack = reference.moe.pack;
  int number = 0;
  for (const MoeCase& c : MoeCases()) {
    SCOPED_TRACE(testing::Message() << "case " << number++ << ": " << Name(c.up) << ", n " << c.n);
    Rig rig(c, random);
    const auto got = rig.Run(level, 3, 0, c.n);
    EXPECT_TRUE(ops::SameBits(got, rig.Run(composed, 1, 0, c.n)));
    for (int64_t i = 0; i < c.n; i += 3) {
      const std::vector<float> in_batch(got.begin() + i * c.cols, got.begin() + (i + 1) * c.cols);
      EXPECT_TRUE(ops::SameBits(in_batch, rig.Run(level, 2, i, i + 1))) << "row " << i;
    }
    // A code that rounds the other way is up to 1/127 of a block's largest element.
    const float tolerance = IsQuantized(c.down) ? 5e-2f : c.compute == DType::kF32 ? 1e-4f : 3e-2f;
    const auto want = rig.Run(reference, 1, 0, c.n);
    for (std::size_t i = 0; i < want.size(); ++i)
      ASSERT_NEAR(got[i], want[i], tolerance * (1.0f + std::fabs(want[i]))) << "element " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, MoeAtLevel,
                         testing::Values(IsaLevel::kReference, IsaLevel::kAvx2, IsaLevel::kAvx512,
                                         IsaLevel::kAvx512VnniBf16, IsaLevel::kAmx),
                         [](const auto& level) { return std::string(ops::Name(level.param)); });

// One row's choice.
struct Choice {
  std::vector<int32_t> ids;
  std::vector<float> weights;
};

Choice Route(const ops::Routing& routing, std::vector<float> logits,
             std::vector<float> correction = {}) {
  ops::OpTable table;
  ops::FillReference(table);
  TestBench bench(table);
  const auto count = static_cast<int64_t>(logits.size());
  Choice choice{std::vector<int32_t>(routing.top_k, -1), std::vector<float>(routing.top_k)};
  ops::RouteExperts(bench.context(), Tensor(logits.data(), DType::kF32, {1, count}),
                    correction.empty() ? Tensor() : Tensor(correction.data(), DType::kF32, {count}),
                    routing, Tensor(choice.ids.data(), DType::kI32, {1, routing.top_k}),
                    Tensor(choice.weights.data(), DType::kF32, {1, routing.top_k}));
  return choice;
}

void ExpectChoice(const Choice& got, const std::vector<int32_t>& ids,
                  const std::vector<double>& weights) {
  EXPECT_EQ(got.ids, ids);
  for (std::size_t i = 0; i < weights.size(); ++i) EXPECT_NEAR(got.weights[i], weights[i], 1e-6);
}

double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

TEST(RouteExperts, SoftmaxOverAllOrOverTheChosen) {
  const double e1 = std::exp(1.0), e2 = std::exp(2.0), sum = 2.0 + e1 + e2;
  ExpectChoice(Route({.top_k = 2}, {0, 2, 0, 1}), {1, 3}, {e2 / sum, e1 / sum});
  ExpectChoice(Route({.top_k = 2, .normalize = true, .scale = 3}, {0, 2, 0, 1}), {1, 3},
               {3 * e2 / (e1 + e2), 3 * e1 / (e1 + e2)});
  ExpectChoice(Route({.top_k = 1, .normalize = true, .least_sum = 10}, {2, 0, 0}), {0},
               {e2 / (e2 + 2.0) / 10});
  // Of equal ones the first.
  ExpectChoice(Route({.top_k = 3, .normalize = true}, {1, 1, 1, 1}), {0, 1, 2},
               {1.0 / 3, 1.0 / 3, 1.0 / 3});
}

TEST(RouteExperts, CorrectionChoosesAndDoesNotWeigh) {
  const ops::Routing sigmoid = {.top_k = 2, .score = ops::Routing::Score::kSigmoid};
  ExpectChoice(Route(sigmoid, {0, 1, 2, 3}, {5, 0, 0, 0}), {0, 3}, {0.5, Sigmoid(3)});
}

TEST(RouteExperts, GroupsByTheirBestOrTheirBestTwo) {
  ops::Routing routing = {.top_k = 2, .groups = 3, .top_groups = 1};
  // Group 1 has the best one, group 2 the best two.
  const std::vector<float> logits = {0, 0, 4, 0, 3, 3};
  const double sum = 3.0 + std::exp(4.0) + 2 * std::exp(3.0);
  ExpectChoice(Route(routing, logits), {2, 3}, {std::exp(4.0) / sum, 1.0 / sum});
  routing.score = ops::Routing::Score::kSigmoid;
  routing.group_score = ops::Routing::GroupScore::kTopTwoSum;
  ExpectChoice(Route(routing, logits), {4, 5}, {Sigmoid(3), Sigmoid(3)});
  // The correction may make all of a chosen group's scores negative; others stay out.
  ExpectChoice(Route(routing, logits, {-9, -9, -9, -9, -3, -3}), {4, 5}, {Sigmoid(3), Sigmoid(3)});
}

TEST(RouteExperts, SparseMixerMasksWhatIsFarFromTheBest) {
  const ops::Routing mixer = {
      .top_k = 2, .score = ops::Routing::Score::kSparseMixer, .jitter = 0.1f};
  // Within 20 %: of 10 those from 8 on; then of 9 (without the 10) those from 7.2 on, and the 10
  // itself counts no more.
  const double first = 1.0 / (1.0 + std::exp(-1.0)), second = 1.0 / (1.0 + std::exp(-1.5));
  ExpectChoice(Route(mixer, {7.5f, 10, 9, -10}), {1, 2}, {first, second});
}

TEST(RouteExperts, NanGivesValidIdsAndNanWeights) {
  for (auto score : {ops::Routing::Score::kSoftmax, ops::Routing::Score::kSigmoid,
                     ops::Routing::Score::kSparseMixer}) {
    const Choice choice =
        Route({.top_k = 2, .score = score, .normalize = true}, {1, std::nanf(""), 3, 2});
    for (int slot = 0; slot < 2; ++slot) {
      EXPECT_TRUE(choice.ids[slot] >= 0 && choice.ids[slot] < 4);
      EXPECT_TRUE(std::isnan(choice.weights[slot]));
    }
    EXPECT_NE(choice.ids[0], choice.ids[1]);
  }
}

TEST(PackExperts, TakesOneBlockOrReadsInPlace) {
  std::mt19937 random(1);
  TestBench bench(MakeCpuTable(DetectIsa()).value());
  std::vector<Matrix> plain, quantized;
  std::vector<Tensor> plain_views, quantized_views;
  for (int e = 0; e < 3; ++e) {
    plain.push_back(RandomMatrix(DType::kBF16, 20, 32, random));
    quantized.push_back(RandomMatrix(DType::kQ8_0, 20, 32, random));
    plain_views.push_back(plain.back().tensor);
    quantized_views.push_back(quantized.back().tensor);
  }
  const auto in_place = ops::PackExperts(bench.context(), plain_views, DType::kBF16);
  ASSERT_TRUE(in_place.ok());
  EXPECT_TRUE(in_place->owned.empty());
  const auto packed = ops::PackExperts(bench.context(), quantized_views, DType::kF32);
  ASSERT_TRUE(packed.ok());
  EXPECT_LE(packed->owned.size(), 1u);
  for (int e = 0; e < 3; ++e) {
    EXPECT_EQ(in_place->experts[e].data.raw(), plain_views[e].raw());
    EXPECT_TRUE(in_place->experts[e].owned.empty());
    EXPECT_TRUE(packed->experts[e].owned.empty());
  }
}

TEST(PackExperts, RefusesExpertsThatDiffer) {
  std::mt19937 random(1);
  TestBench bench(MakeCpuTable(DetectIsa()).value());
  const Matrix a = RandomMatrix(DType::kF32, 16, 32, random);
  const Matrix b = RandomMatrix(DType::kQ8_0, 16, 32, random);
  const Matrix c = RandomMatrix(DType::kF32, 32, 32, random);
  const auto pack = [&](std::vector<Tensor> experts) {
    return ops::PackExperts(bench.context(), experts, DType::kF32).status().code();
  };
  EXPECT_EQ(pack({a.tensor, b.tensor}), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(pack({a.tensor, c.tensor}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(pack({}), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace banyan::kernels
