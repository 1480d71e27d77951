// SPDX-License-Identifier: Apache-2.0
#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <vector>

namespace banyan {
namespace {

TEST(Tensor, SlicesShareTheBytes) {
  std::vector<float> data(24);
  for (int i = 0; i < 24; ++i) data[i] = static_cast<float>(i);
  Tensor tensor(data.data(), DType::kF32, {2, 3, 4});
  EXPECT_EQ(tensor.Row(1).Row(2).data<float>()[3], 23.0f);
  Tensor middle = tensor.Slice(1, 1, 3);
  EXPECT_EQ(middle.shape(), (Shape{2, 2, 4}));
  EXPECT_FALSE(middle.IsContiguous());
  EXPECT_EQ(middle.Row(1).data<float>()[0], 16.0f);
  EXPECT_EQ(tensor.Reshape({6, 4}).Row(5).data<float>()[0], 20.0f);
}

TEST(Tensor, QuantizedRowsCountBlocks) {
  std::vector<std::byte> data(2 * 36);
  Tensor tensor(data.data(), DType::kQ4_0, {2, 64});
  EXPECT_EQ(tensor.NumBytes(), 72);
  EXPECT_EQ(tensor.Row(1).data<std::byte>() - data.data(), 36);
}

}  // namespace
}  // namespace banyan
