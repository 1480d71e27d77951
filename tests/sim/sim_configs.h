// SPDX-License-Identifier: Apache-2.0
// The configurations that the hash model runs in, and one run of one of them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sim/world.h"

namespace banyan::sim {

// 48 of them: every set of kinds with every page size, with and without overlap. What else there is
// is drawn, the same way for the same `draw`.
std::vector<WorldConfig> Configurations(uint32_t draw);

// What decides the turns of a world, one after the other.
using Steps = std::vector<uint32_t>;
// The fewest of the steps, in their order and as many quiet (0) as can be, for which `fails` still
// is true. Tries much, but not all: nothing can be left out or made quiet alone.
Steps Shrink(Steps steps, const std::function<bool(const Steps&)>& fails);

struct RunResult {
  std::string wrong;  // empty: all is well; else what, and the fewest steps that lead to it
  std::string summary;
};
// `count` random turns and what it takes to end all requests. Everything follows from the seed.
RunResult RunSeed(const WorldConfig& config, int64_t count, uint32_t seed);

}  // namespace banyan::sim
