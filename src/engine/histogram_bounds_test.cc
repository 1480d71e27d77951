// SPDX-License-Identifier: Apache-2.0
#include "engine/histogram_bounds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace banyan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<double> Bounds(const std::vector<std::string>& rule) {
  const auto bounds = BoundsByRule("--x", rule);
  EXPECT_TRUE(bounds.ok()) << bounds.status();
  return bounds.value_or(std::vector<double>());
}

TEST(HistogramBounds, RulesAreSglangs) {
  EXPECT_THAT(Bounds({}), IsEmpty());
  EXPECT_THAT(Bounds({"default"}), IsEmpty());
  EXPECT_THAT(Bounds({"custom", "30", "10", "20", "10"}), ElementsAre(10, 20, 30));
  EXPECT_THAT(Bounds({"tse", "1000", "2", "8"}),
              ElementsAre(984, 992, 996, 998, 1000, 1002, 1004, 1008, 1016));
  EXPECT_THAT(Bounds({"tse", "3", "2", "3"}), ElementsAre(0, 1, 3, 5, 7));
}

TEST(HistogramBounds, WhatIsNoneIsNamed) {
  for (const std::vector<std::string>& rule :
       std::vector<std::vector<std::string>>{{"default", "1"},
                                             {"custom"},
                                             {"custom", "x"},
                                             {"custom", "nan"},
                                             {"tse"},
                                             {"tse", "1000", "1", "8"},
                                             {"tse", "1", "2", "1e9"},
                                             {"tse", "1", "1e300", "9"},
                                             {"10"}})
    EXPECT_THAT(Message(BoundsByRule("--x", rule).status()), HasSubstr("--x: "));
  EXPECT_TRUE(CheckBounds("--y", {0.1, 2, 3}).ok());
  EXPECT_THAT(Message(CheckBounds("--y", {1, 1})), HasSubstr("--y: 1 1 are not ascending"));
}

}  // namespace
}  // namespace banyan
