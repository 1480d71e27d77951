// SPDX-License-Identifier: Apache-2.0
#include "app/iso_clock.h"

#include <gtest/gtest.h>

namespace banyan {
namespace {

TEST(IsoClock, ReadsTheFace) {
  constexpr int64_t kDay = 1721952000;  // 2024-07-26
  EXPECT_EQ(*ParseIsoClock("1970-01-01"), 0);
  EXPECT_EQ(*ParseIsoClock("2024-07-26"), kDay);
  EXPECT_EQ(*ParseIsoClock("2024-07-26T12:34"), kDay + 12 * 3600 + 34 * 60);
  for (const char* zone :
       {"", "Z", "+02:00", "-0930", "+05", ".5", ",123456", ".123456789Z", ".000-23:59"}) {
    const auto seconds = ParseIsoClock("2024-07-26 12:34:56" + std::string(zone));
    ASSERT_TRUE(seconds.ok()) << seconds.status();
    EXPECT_EQ(*seconds, kDay + 12 * 3600 + 34 * 60 + 56) << zone;
  }
  EXPECT_TRUE(ParseIsoClock("2024-02-29T00:00Z").ok());
}

TEST(IsoClock, RefusesWhatElseIsThere) {
  for (const char* bad : {"",
                          "now",
                          "2024",
                          "2024-7-26",
                          "2024-13-01",
                          "2023-02-29",
                          "2024-07-26x",
                          "2024-07-26T",
                          "2024-07-26T12",
                          "2024-07-26T12:3",
                          "2024-07-26T24:00",
                          "2024-07-26T12:60",
                          "2024-07-26T12:34:60",
                          "2024-07-26T12:34x",
                          "2024-07-26T12:34:56 and more",
                          "2024-07-26T12:34:",
                          "2024-07-26T12:34:56.",
                          "2024-07-26T12:34:56.5.5",
                          "2024-07-26T12:34:56ZZ",
                          "2024-07-26T12:34:56Z+01",
                          "2024-07-26T12:34:56+",
                          "2024-07-26T12:34:56+1",
                          "2024-07-26T12:34:56+01:",
                          "2024-07-26T12:34:56+01:60",
                          "2024-07-26T12:34:56+24:00",
                          "2024-07-26T12:34.5",
                          "2024-07-26Z",
                          " 2024-07-26",
                          "+024-07-26",
                          "2024-07-26T+1:00"})
    EXPECT_FALSE(ParseIsoClock(bad).ok()) << bad;
}

}  // namespace
}  // namespace banyan
