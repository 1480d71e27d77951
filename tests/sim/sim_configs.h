// SPDX-License-Identifier: Apache-2.0
// The configurations that the hash model runs in, and one run of one of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/world.h"

namespace banyan::sim {

std::vector<WorldConfig> Configurations();

struct RunResult {
  std::string wrong;  // empty: all is well; else what, and the fewest steps that lead to it
  std::string summary;
};
// `count` random turns and what it takes to end all requests. Everything follows from the seed.
RunResult RunSeed(const WorldConfig& config, int64_t count, uint32_t seed);

}  // namespace banyan::sim
