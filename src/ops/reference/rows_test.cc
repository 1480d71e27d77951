// SPDX-License-Identifier: Apache-2.0
// The reference against numbers worked out by hand, so that what kernels are held to is right; and
// the memory that ops use.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ops/elementwise.h"
#include "ops/norm.h"
#include "ops/reference/half.h"
#include "ops/rope.h"
#include "ops/testing.h"

namespace banyan::ops {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::Pointwise;

class Reference : public testing::Test {
 protected:
  static OpTable Table() {
    OpTable table;
    FillReference(table);
    return table;
  }
  static Tensor View(std::vector<float>& values, Shape shape) {
    return Tensor(values.data(), DType::kF32, shape);
  }
  static auto Near(const std::vector<float>& want) { return Pointwise(FloatNear(1e-5f), want); }

  TestBench bench_{Table(), 2};
  OpContext context_ = bench_.context();
};

TEST_F(Reference, RmsNorm) {
  std::vector<float> x = {3, 4, 0, 0, 1, 1, 1, 1};
  std::vector<float> weight = {1, 2, 3, 4};
  std::vector<float> out(8);
  RmsNorm(context_, View(x, {2, 4}), View(weight, {4}), 0.0f, View(out, {2, 4}));
  EXPECT_THAT(out, Near({1.2f, 3.2f, 0, 0, 1, 2, 3, 4}));  // sqrt(25 / 4) = 2.5
  RmsNorm(context_, View(x, {2, 4}), Tensor(), 0.75f, View(out, {2, 4}));
  EXPECT_NEAR(out[0], 3 / std::sqrt(7.0f), 1e-6f);
  // One weight per head.
  RmsNorm(context_, View(x, {2, 2, 2}), View(weight, {2, 2}), 0.0f, View(out, {2, 2, 2}));
  const float r = std::sqrt(12.5f);
  EXPECT_THAT(std::vector<float>(out.begin(), out.begin() + 2), Near({3 / r, 8 / r}));
  EXPECT_THAT(std::vector<float>(out.begin() + 4, out.end()), Near({1, 2, 3, 4}));
}

TEST_F(Reference, AddRmsNormLeavesTheSum) {
  std::vector<float> x = {1, 2};
  std::vector<float> residual = {2, 2};
  std::vector<float> out(2);
  AddRmsNorm(context_, View(x, {1, 2}), View(residual, {1, 2}), Tensor(), 0.0f, View(out, {1, 2}));
  EXPECT_THAT(residual, ElementsAre(3, 4));
  EXPECT_THAT(out, Near({3 / std::sqrt(12.5f), 4 / std::sqrt(12.5f)}));
}

TEST_F(Reference, LayerNorm) {
  std::vector<float> x = {1, 3, 5, 7};  // mean 4, variance 5
  std::vector<float> weight = {1, 1, 2, 2};
  std::vector<float> bias = {0, 10, 0, 10};
  std::vector<float> out(4);
  LayerNorm(context_, View(x, {1, 4}), View(weight, {4}), View(bias, {4}), 0.0f, View(out, {1, 4}));
  const float s = std::sqrt(5.0f);
  EXPECT_THAT(out, Near({-3 / s, -1 / s + 10, 2 / s, 6 / s + 10}));
  // Heads of two with weights of their own: means 2 and 6, variances 1.
  LayerNorm(context_, View(x, {1, 2, 2}), View(weight, {2, 2}), View(bias, {2, 2}), 0.0f,
            View(out, {1, 2, 2}));
  EXPECT_THAT(out, Near({-1, 11, -2, 12}));
}

TEST_F(Reference, RopeTurnsByTheAngle) {
  const std::vector<int32_t> positions = {2};
  const std::vector<float> frequencies = {0.5f, 0.25f};
  std::vector<float> cos(2);
  std::vector<float> sin(2);
  RopeAngles(context_, positions, frequencies, 2.0f, View(cos, {1, 2}), View(sin, {1, 2}));
  EXPECT_THAT(cos, Near({2 * std::cos(1.0f), 2 * std::cos(0.5f)}));
  EXPECT_THAT(sin, Near({2 * std::sin(1.0f), 2 * std::sin(0.5f)}));
  cos = {0, 1};
  sin = {1, 0};  // a quarter turn, and none
  std::vector<float> x = {1, 2, 3, 4, 9};
  Rope(context_, View(x, {1, 1, 5}), View(cos, {1, 2}), View(sin, {1, 2}), RopePairing::kHalves);
  EXPECT_THAT(x, Near({-3, 2, 1, 4, 9}));
  x = {1, 2, 3, 4, 9};
  Rope(context_, View(x, {1, 1, 5}), View(cos, {1, 2}), View(sin, {1, 2}),
       RopePairing::kInterleaved);
  EXPECT_THAT(x, Near({-2, 1, 3, 4, 9}));
}

TEST_F(Reference, Activations) {
  // Values of torch.nn.functional at -1 and 2.
  const std::pair<Activation, std::vector<float>> cases[] = {
      {Activation::kSilu, {-0.2689414f, 1.7615942f}},
      {Activation::kGelu, {-0.1586553f, 1.9544997f}},
      {Activation::kGeluTanh, {-0.1588080f, 1.9545977f}},
      {Activation::kGeluQuick, {-0.1542044f, 1.9356586f}},
      {Activation::kRelu, {0.0f, 2.0f}},
      {Activation::kRelu2, {0.0f, 4.0f}},
      {Activation::kSigmoid, {0.2689414f, 0.8807970f}},
      {Activation::kTanh, {-0.7615942f, 0.9640276f}},
      {Activation::kIdentity, {-1.0f, 2.0f}},
  };
  for (const auto& [activation, want] : cases) {
    std::vector<float> x = {-1, 2, 3, 5};
    std::vector<float> out(2);
    Activate(context_, activation, View(x, {1, 4}).Slice(1, 0, 2), View(out, {1, 2}));
    EXPECT_THAT(out, Near(want)) << static_cast<int>(activation);
    GatedActivate(context_, activation, View(x, {1, 4}), View(out, {1, 2}));
    EXPECT_THAT(out, Near({3 * want[0], 5 * want[1]})) << static_cast<int>(activation);
  }
  std::vector<float> x = {-1, 2};
  std::vector<float> out(2);
  Xielu(context_, View(x, {1, 2}), 0.8f, 1.3f, 0.5f, -1e-6f, View(out, {1, 2}));
  EXPECT_THAT(out, Near({(std::exp(-1.0f) - 1 + 1) * 1.3f - 0.5f, 0.8f * 4 + 1}));
}

TEST_F(Reference, Maps) {
  std::vector<float> a = {1, -2, 3, 40};
  std::vector<float> b = {5, 6, 7, 8};
  std::vector<float> out(4);
  const Tensor to = View(out, {2, 2});
  Add(context_, View(a, {2, 2}), View(b, {2, 2}), to);
  EXPECT_THAT(out, ElementsAre(6, 4, 10, 48));
  Mul(context_, View(a, {2, 2}), View(b, {2, 2}), to);
  EXPECT_THAT(out, ElementsAre(5, -12, 21, 320));
  Scale(context_, View(a, {2, 2}), 2.0f, to);
  EXPECT_THAT(out, ElementsAre(2, -4, 6, 80));
  ScaleRows(context_, View(a, {2, 2}), std::vector<float>{2, 10}, to);
  EXPECT_THAT(out, ElementsAre(2, -4, 30, 400));
  Clamp(context_, View(a, {2, 2}), -1.0f, 3.0f, to);
  EXPECT_THAT(out, ElementsAre(1, -1, 3, 3));
  Softcap(context_, View(a, {2, 2}), 2.0f, to);
  EXPECT_THAT(out, Near({2 * std::tanh(0.5f), -2 * std::tanh(1.0f), 2 * std::tanh(1.5f), 2.0f}));
  GatherRows(context_, View(a, {2, 2}), std::vector<int32_t>{1, 1}, to);
  EXPECT_THAT(out, ElementsAre(3, 40, 3, 40));
}

TEST(Half, RoundsToNearestEven) {
  EXPECT_EQ(ToBf16(1.0f), 0x3f80);
  EXPECT_EQ(ToBf16(1.0f + 0x1p-8f), 0x3f80);             // halfway, to even
  EXPECT_EQ(ToBf16(1.0f + 0x1p-8f + 0x1p-20f), 0x3f81);  // just above
  EXPECT_EQ(ToBf16(1.0f + 0x1p-7f + 0x1p-8f), 0x3f82);   // halfway, to even
  EXPECT_TRUE(std::isnan(FromBf16(ToBf16(std::nanf("")))));
  EXPECT_EQ(ToF16(1.0f), 0x3c00);
  EXPECT_EQ(ToF16(-2.0f), 0xc000);
  EXPECT_EQ(ToF16(65519.0f), 0x7bff);
  EXPECT_EQ(ToF16(65520.0f), 0x7c00);
  EXPECT_EQ(ToF16(0x1p-24f), 0x0001);
  EXPECT_EQ(ToF16(0x1p-25f), 0x0000);
  EXPECT_EQ(ToF16(0x1.8p-24f), 0x0002);
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {  // there and back
    const float value = FromF16(static_cast<uint16_t>(bits));
    if (!std::isnan(value)) {
      EXPECT_EQ(ToF16(value), bits);
    } else {
      EXPECT_TRUE(std::isnan(FromF16(ToF16(value))));
    }
  }
}

TEST(Scratch, GivesBackAndGrowsIntoOneBlock) {
  const auto backend = MakeCpuBackend();
  Scratch scratch(backend.get());
  const Tensor a = scratch.Get(DType::kF32, {1000});
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a.raw()) % 64, 0u);
  std::byte* inner = nullptr;
  {
    const ScratchScope scope(&scratch);
    inner = scratch.GetBytes(100);
    scratch.GetBytes(3 << 20);  // a second block
  }
  EXPECT_EQ(scratch.GetBytes(100), inner);
  const std::size_t held = scratch.bytes();
  scratch.Reset();
  EXPECT_EQ(scratch.bytes(), held);
  scratch.GetBytes(held - 64);  // all of it in one piece now
  EXPECT_EQ(scratch.bytes(), held);
}

}  // namespace
}  // namespace banyan::ops
