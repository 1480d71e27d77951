// SPDX-License-Identifier: Apache-2.0
// The hash model in many configurations. Each prints its seed and what happened; BANYAN_SIM_STEPS
// and BANYAN_SIM_SEED in the environment change length and seed. A failing run is cut down to the
// fewest steps that still fail.
#include <gtest/gtest.h>

#include <cstdlib>

#include "sim/sim_configs.h"

namespace banyan::sim {
namespace {

int64_t Setting(const char* name, int64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::atoll(text);
}

class SimTest : public testing::TestWithParam<WorldConfig> {};

TEST_P(SimTest, EveryRequestGetsTheExpectedText) {
  const RunResult result = RunSeed(GetParam(), Setting("BANYAN_SIM_STEPS", 100000),
                                   static_cast<uint32_t>(Setting("BANYAN_SIM_SEED", 1)));
  EXPECT_EQ(result.wrong, "");
  std::puts(result.summary.c_str());
}

INSTANTIATE_TEST_SUITE_P(All, SimTest, testing::ValuesIn(Configurations()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace banyan::sim
