// SPDX-License-Identifier: Apache-2.0
// Dequantization and embedding rows, bit for bit as the `gguf` package has them
// (tests/golden/gguf, made by tools/make_gguf.py).
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "ops/linear.h"

namespace banyan::ops {
namespace {

constexpr int64_t kTableRows = 2;
constexpr int64_t kCols = 768;
constexpr DType kTypes[] = {DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ4_0, DType::kQ4_1,
                            DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ2_K, DType::kQ3_K,
                            DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

std::vector<char> ReadGolden(const std::string& name) {
  std::ifstream file(std::string(BANYAN_SOURCE_DIR) + "/tests/golden/gguf/" + name,
                     std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class DequantizeTest : public testing::TestWithParam<DType> {
 protected:
  void SetUp() override {
    const std::string name(Name(GetParam()));
    blocks_ = ReadGolden(name + ".bin");
    expected_ = ReadGolden(name + ".f32");
    ASSERT_EQ(static_cast<int64_t>(blocks_.size()), Bytes(GetParam(), kTableRows * kCols));
    ASSERT_EQ(expected_.size(), kTableRows * kCols * sizeof(float));
    table_ = Tensor(blocks_.data(), GetParam(), {kTableRows, kCols});
  }

  std::vector<char> blocks_;
  std::vector<char> expected_;
  Tensor table_;
};

TEST_P(DequantizeTest, EqualsTheGgufPackage) {
  std::vector<float> got(kTableRows * kCols);
  Dequantize(table_, Tensor(got.data(), DType::kF32, {kTableRows, kCols}));
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(std::memcmp(&got[i], expected_.data() + 4 * i, 4), 0)
        << "element " << i << ": " << got[i];
  }
}

TEST_P(DequantizeTest, EmbeddingRowsAreTheSame) {
  const std::vector<int32_t> ids = {1, 0, 1, 1};
  constexpr int64_t kStride = kCols + 7;
  std::vector<float> got(ids.size() * kStride, -1.0f);
  EmbeddingLookup(
      OpContext{}, ids, table_,
      Tensor(got.data(), DType::kF32, {static_cast<int64_t>(ids.size()), kCols}, {kStride, 1}));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const char* row = expected_.data() + ids[i] * kCols * 4;
    EXPECT_EQ(std::memcmp(&got[i * kStride], row, kCols * 4), 0) << i;
    EXPECT_EQ(got[i * kStride + kCols], -1.0f);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, DequantizeTest, testing::ValuesIn(kTypes),
                         [](const auto& info) { return std::string(Name(info.param)); });

}  // namespace
}  // namespace banyan::ops
