// SPDX-License-Identifier: Apache-2.0
#include "base/nearest.h"

#include <gtest/gtest.h>

#include <vector>

namespace banyan {
namespace {

TEST(Nearest, FindsWhatWasMeant) {
  const std::vector<std::string> known = {"--model-path", "--mem-fraction-static", "--port",
                                          "--tp-size"};
  EXPECT_EQ(Nearest("--model-pth", known), "--model-path");
  EXPECT_EQ(Nearest("--prot", known), "--port");
  EXPECT_EQ(Nearest("--tp", known), "--tp-size");
  EXPECT_EQ(Nearest("--mem_fraction_static", known), "--mem-fraction-static");
  EXPECT_EQ(Nearest("--something-else-entirely", known), "");
  EXPECT_EQ(Nearest("", known), "");
  EXPECT_EQ(Nearest(std::string(1000000, 'x'), known), "");
}

}  // namespace
}  // namespace banyan
