// SPDX-License-Identifier: Apache-2.0
// Every level's products against ops/reference: equal bits, whatever the shape, the batch, the
// number of threads and how x lies in memory.
#include "ops/linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "base/thread_pool.h"
#include "device/cpu/cpu_backend.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/linear_testing.h"
#include "kernels/cpu/table.h"

namespace banyan::kernels {
namespace {

constexpr DType kTypes[] = {DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ4_0, DType::kQ4_1,
                            DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ2_K, DType::kQ3_K,
                            DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

std::vector<float> RandomFloats(std::size_t count, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> floats(count);
  for (float& value : floats) value = normal(random);
  return floats;
}

// What an op needs, at one level, on a number of threads.
class Harness {
 public:
  Harness(IsaLevel level, int threads)
      : table_(MakeCpuTable(level).value()),
        backend_(MakeCpuBackend()),
        pool_(std::vector<int>(static_cast<std::size_t>(threads), UsableCores()[0])),
        scratch_(backend_.get()),
        context_{backend_.get(), &table_, &pool_, &scratch_} {}

  const ops::OpContext& context() const { return context_; }

  std::vector<float> Product(const std::vector<Tensor>& parts, DType compute, const Tensor& x,
                             const Tensor& bias) {
    const StatusOr<PackedWeight> weight = ops::PackLinear(context_, parts, compute);
    EXPECT_TRUE(weight.ok()) << weight.status();
    const int64_t n = x.dim(0);
    // A margin that must stay as it is, beside each row.
    const int64_t stride = weight->rows + 3;
    std::vector<float> out(static_cast<std::size_t>(n * stride), -77.0f);
    ops::Linear(context_, x, *weight, bias,
                Tensor(out.data(), DType::kF32, {n, weight->rows}, {stride, 1}));
    std::vector<float> dense;
    for (int64_t t = 0; t < n; ++t) {
      const float* row = out.data() + t * stride;
      dense.insert(dense.end(), row, row + weight->rows);
      for (int64_t i = weight->rows; i < stride; ++i) EXPECT_EQ(row[i], -77.0f);
    }
    scratch_.Reset();
    return dense;
  }

 private:
  ops::OpTable table_;
  std::unique_ptr<Backend> backend_;
  ThreadPool pool_;
  ops::Scratch scratch_;
  ops::OpContext context_;
};

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

class LinearAtLevel : public testing::TestWithParam<IsaLevel> {
 protected:
  void SetUp() override {
    if (GetParam() > DetectIsa()) {
      GTEST_SKIP() << "this machine lacks " << ops::Name(GetParam());
    }
  }
};

struct LinearCase {
  int64_t rows, cols, n;
};

TEST_P(LinearAtLevel, EqualsTheReference) {
  std::mt19937 random(1);
  Harness reference(IsaLevel::kReference, 1);
  Harness level(GetParam(), 3);
  for (DType dtype : kTypes) {
    const int64_t block = Info(dtype).block_elements;
    std::vector<LinearCase> cases = {{1, block, 1},       {16, 2 * block, 2},  {17, 3 * block, 3},
                                     {33, block, 5},      {40, 2 * block, 16}, {7, 3 * block, 33},
                                     {64, 5 * block, 12}, {48, 7 * block, 4}};
    cases.push_back({35, 2048, 23});  // more columns than a panel holds
    if (block == 1) {
      for (int64_t cols : {1, 15, 17, 31, 64, 100}) cases.push_back({9, cols, 1 + cols % 8});
    }
    for (const LinearCase& c : cases) {
      const Matrix w = RandomMatrix(dtype, c.rows, c.cols, random);
      const int64_t x_stride = c.cols + 5;
      std::vector<float> x = RandomFloats(static_cast<std::size_t>(c.n * x_stride), random);
      std::vector<float> bias = RandomFloats(static_cast<std::size_t>(c.rows), random);
      const Tensor x_view(x.data(), DType::kF32, {c.n, c.cols}, {x_stride, 1});
      const Tensor bias_view = c.n % 2 == 0 ? Tensor() : Tensor(bias.data(), DType::kF32, {c.rows});
      for (DType compute : {DType::kF32, DType::kF16}) {
        if (compute != DType::kF32 && block != 1) continue;
        const auto expected = reference.Product({w.tensor}, compute, x_view, bias_view);
        const auto got = level.Product({w.tensor}, compute, x_view, bias_view);
        EXPECT_TRUE(SameBits(expected, got))
            << Name(dtype) << " [" << c.rows << ", " << c.cols << "] n = " << c.n;
      }
    }
  }
}

// A row's result is the same alone, anywhere in a batch, and on any number of threads.
TEST_P(LinearAtLevel, RowsDoNotDependOnTheBatch) {
  std::mt19937 random(2);
  Harness one(GetParam(), 1);
  Harness three(GetParam(), 3);
  for (DType dtype : kTypes) {
    for (DType compute : {DType::kF32, DType::kBF16, DType::kF16}) {
      if (compute != DType::kF32 && (IsQuantized(dtype) || dtype == DType::kF32)) continue;
      const int64_t rows = 100, cols = 512, n = 70;
      const Matrix w = RandomMatrix(dtype, rows, cols, random);
      std::vector<float> x = RandomFloats(static_cast<std::size_t>(n * cols), random);
      const auto whole =
          three.Product({w.tensor}, compute, Tensor(x.data(), DType::kF32, {n, cols}), Tensor());
      for (int64_t part : {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31}) {
        std::vector<float> pieces;
        for (int64_t t = 0; t < n; t += part) {
          const int64_t count = std::min(part, n - t);
          const auto piece =
              one.Product({w.tensor}, compute,
                          Tensor(x.data() + t * cols, DType::kF32, {count, cols}), Tensor());
          pieces.insert(pieces.end(), piece.begin(), piece.end());
        }
        EXPECT_TRUE(SameBits(whole, pieces)) << Name(dtype) << " in pieces of " << part;
      }
    }
  }
}

TEST_P(LinearAtLevel, StacksParts) {
  std::mt19937 random(3);
  Harness level(GetParam(), 2);
  for (DType dtype : kTypes) {
    const int64_t cols = 256;
    const Matrix q = RandomMatrix(dtype, 19, cols, random);
    const Matrix k = RandomMatrix(dtype, 6, cols, random);
    std::vector<float> x = RandomFloats(2 * cols, random);
    const Tensor x_view(x.data(), DType::kF32, {2, cols});
    const auto both = level.Product({q.tensor, k.tensor}, DType::kF32, x_view, Tensor());
    const auto first = level.Product({q.tensor}, DType::kF32, x_view, Tensor());
    const auto second = level.Product({k.tensor}, DType::kF32, x_view, Tensor());
    for (int64_t t = 0; t < 2; ++t) {
      EXPECT_EQ(std::memcmp(&both[static_cast<std::size_t>(t * 25)],
                            &first[static_cast<std::size_t>(t * 19)], 19 * 4),
                0);
      EXPECT_EQ(std::memcmp(&both[static_cast<std::size_t>(t * 25 + 19)],
                            &second[static_cast<std::size_t>(t * 6)], 6 * 4),
                0);
    }
  }
}

// bf16 products may be the machine's own, which round otherwise than f32 sums do: within 2^-7 of
// the sum of magnitudes for the rounding of x, were it not rounded in the reference too; what is
// left is the order and the flushing of subnormals, far below 1e-5.
TEST_P(LinearAtLevel, Bf16ComputeIsNearTheReference) {
  std::mt19937 random(4);
  Harness reference(IsaLevel::kReference, 1);
  Harness level(GetParam(), 2);
  for (const LinearCase& c : {LinearCase{17, 64, 1}, LinearCase{50, 100, 3},
                              LinearCase{33, 577, 20}, LinearCase{16, 2048, 40}}) {
    const Matrix w = RandomMatrix(DType::kBF16, c.rows, c.cols, random);
    std::vector<float> x = RandomFloats(static_cast<std::size_t>(c.n * c.cols), random);
    const Tensor x_view(x.data(), DType::kF32, {c.n, c.cols});
    const auto expected = reference.Product({w.tensor}, DType::kBF16, x_view, Tensor());
    const auto got = level.Product({w.tensor}, DType::kBF16, x_view, Tensor());
    const float magnitude = 0.05f * static_cast<float>(c.cols);
    for (std::size_t i = 0; i < got.size(); ++i) {
      ASSERT_NEAR(expected[i], got[i], 1e-5f * magnitude) << i;
    }
  }
}

// Rows of x that are zero, tiny, huge, infinite or NaN: only their own results say so.
TEST_P(LinearAtLevel, UnusualInputs) {
  std::mt19937 random(5);
  Harness reference(IsaLevel::kReference, 1);
  Harness level(GetParam(), 2);
  for (DType dtype : kTypes) {
    const int64_t rows = 20, cols = 256, n = 6;
    const Matrix w = RandomMatrix(dtype, rows, cols, random);
    std::vector<float> x = RandomFloats(static_cast<std::size_t>(n * cols), random);
    const auto at = [&](int64_t t) { return x.data() + t * cols; };
    std::fill(at(0), at(1), 0.0f);
    for (float* v = at(1); v != at(2); ++v) *v *= 1e-40f;
    for (float* v = at(2); v != at(3); ++v) *v *= 1e30f;
    at(3)[7] = INFINITY;
    at(4)[70] = NAN;
    const Tensor x_view(x.data(), DType::kF32, {n, cols});
    const auto expected = reference.Product({w.tensor}, DType::kF32, x_view, Tensor());
    const auto got = level.Product({w.tensor}, DType::kF32, x_view, Tensor());
    for (std::size_t i = 0; i < got.size(); ++i) {
      const bool same = std::isnan(expected[i]) ? std::isnan(got[i]) : expected[i] == got[i];
      EXPECT_TRUE(same) << Name(dtype) << " " << i << ": " << expected[i] << " " << got[i];
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i) {
      EXPECT_EQ(got[i], 0.0f);
      EXPECT_EQ(std::isnan(got[i + static_cast<std::size_t>(4 * rows)]), true);
      EXPECT_TRUE(std::isfinite(got[i + static_cast<std::size_t>(5 * rows)]));
    }
  }
}

TEST_P(LinearAtLevel, RefusesByName) {
  std::mt19937 random(6);
  Harness level(GetParam(), 1);
  for (DType dtype : kTypes) {
    if (!IsQuantized(dtype)) continue;
    for (int offset : HalvesAt(dtype)) {
      for (uint16_t bad : {0x7c00, 0xfc00, 0x7e01}) {
        Matrix w = RandomMatrix(dtype, 18, 512, random);
        const int64_t block = static_cast<int64_t>(w.bytes.size()) / Info(dtype).block_bytes - 1;
        std::memcpy(w.bytes.data() + block * Info(dtype).block_bytes + offset, &bad, 2);
        const auto weight = ops::PackLinear(level.context(), {&w.tensor, 1}, DType::kF32);
        ASSERT_FALSE(weight.ok()) << Name(dtype);
        EXPECT_EQ(weight.status().code(), StatusCode::kInvalidArgument);
        EXPECT_NE(Message(weight.status()).find("row 17"), std::string::npos) << weight.status();
      }
    }
  }
  int64_t data[64] = {};
  const Tensor ints(data, DType::kI64, {8, 8});
  const auto unknown = ops::PackLinear(level.context(), {&ints, 1}, DType::kF32);
  EXPECT_EQ(unknown.status().code(), StatusCode::kUnimplemented);
  EXPECT_NE(Message(unknown.status()).find("i64"), std::string::npos);
  const Tensor mixed[] = {Tensor(data, DType::kF32, {2, 8}), Tensor(data, DType::kF32, {2, 4})};
  EXPECT_EQ(ops::PackLinear(level.context(), mixed, DType::kF32).status().code(),
            StatusCode::kInvalidArgument);
}

// Packed blocks take at most 5 % more than the checkpoint's.
TEST_P(LinearAtLevel, PackedSize) {
  std::mt19937 random(7);
  Harness level(GetParam(), 1);
  for (DType dtype : kTypes) {
    const Matrix w = RandomMatrix(dtype, 64, 1536, random);
    const auto weight = ops::PackLinear(level.context(), {&w.tensor, 1}, DType::kF32);
    ASSERT_TRUE(weight.ok());
    std::size_t held = 0;
    for (const Buffer& buffer : weight->owned) held += buffer.size();
    EXPECT_LE(static_cast<double>(held), 1.05 * static_cast<double>(w.bytes.size())) << Name(dtype);
  }
}

std::string LevelName(const testing::TestParamInfo<IsaLevel>& info) {
  return std::string(ops::Name(info.param));
}
INSTANTIATE_TEST_SUITE_P(All, LinearAtLevel,
                         testing::Values(IsaLevel::kReference, IsaLevel::kAvx2, IsaLevel::kAvx512,
                                         IsaLevel::kAvx512VnniBf16, IsaLevel::kAmx),
                         LevelName);

}  // namespace
}  // namespace banyan::kernels
