// SPDX-License-Identifier: Apache-2.0
// The hash model in many configurations. Each prints its seed and what happened; BANYAN_SIM_STEPS
// and BANYAN_SIM_SEED in the environment change length and seed, BANYAN_SIM_DRAW the
// configurations. A failing run is cut down to the fewest steps that still fail.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "sim/sim_configs.h"

namespace banyan::sim {
namespace {

int64_t Setting(const char* name, int64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::atoll(text);
}

// What fails here: three steps that five divides, and three others anywhere.
TEST(ShrinkTest, LeavesOutAllThatIsNotNeeded) {
  std::mt19937 rng(1);
  Steps steps(5000);
  for (uint32_t& step : steps) step = rng();
  int64_t tried = 0;
  const Steps fewest = Shrink(steps, [&](const Steps& some) {
    ++tried;
    const auto fives = std::count_if(some.begin(), some.end(),
                                     [](uint32_t step) { return step > 0 && step % 5 == 0; });
    return fives >= 3 && some.size() >= 6;
  });
  EXPECT_EQ(fewest.size(), 6u);
  EXPECT_EQ(std::count(fewest.begin(), fewest.end(), 0u), 3) << "quiet where that will do";
  EXPECT_LT(tried, 20000);
  Steps in_order = steps;
  in_order.push_back(0);
  for (const uint32_t step : fewest)
    EXPECT_EQ(std::count(in_order.begin(), in_order.end(), step), 1);
}

class SimTest : public testing::TestWithParam<WorldConfig> {};

TEST_P(SimTest, EveryRequestGetsTheExpectedText) {
  const RunResult result = RunSeed(GetParam(), Setting("BANYAN_SIM_STEPS", 100000),
                                   static_cast<uint32_t>(Setting("BANYAN_SIM_SEED", 1)));
  EXPECT_EQ(result.wrong, "");
  std::puts(result.summary.c_str());
}

INSTANTIATE_TEST_SUITE_P(
    All, SimTest,
    testing::ValuesIn(Configurations(static_cast<uint32_t>(Setting("BANYAN_SIM_DRAW", 0)))),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace banyan::sim
