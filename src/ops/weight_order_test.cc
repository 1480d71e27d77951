// SPDX-License-Identifier: Apache-2.0
#include "ops/weight_order.h"

#include <gtest/gtest.h>

#include <array>

namespace banyan::ops {
namespace {

TEST(WeightOrder, LearnsFromThePassBefore) {
  const std::array<std::byte, 4> memory{};
  const std::span<const std::byte> a(memory.data(), 1), b(memory.data() + 1, 2),
      c(memory.data() + 3, 1);
  WeightOrder order;
  for (const auto& weight : {a, b, c}) EXPECT_TRUE(order.Next(weight).empty());
  EXPECT_EQ(order.Next(a).data(), b.data());
  EXPECT_EQ(order.Next(b).data(), c.data());
  EXPECT_EQ(order.Next(c).data(), a.data());  // the next pass begins there
  EXPECT_EQ(order.Next(a).size(), b.size());
  EXPECT_EQ(order.Next(c).data(), a.data());
  EXPECT_EQ(order.Next(a).data(), c.data());  // the last time counts
}

}  // namespace
}  // namespace banyan::ops
