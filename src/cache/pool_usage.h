// SPDX-License-Identifier: Apache-2.0
// Where the pages of one kind of cache are: what logs, /memory and metrics print.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace banyan {

// Pages; total is the sum of the others.
struct PoolUsage {
  std::string name;
  int64_t total = 0;
  int64_t free = 0;
  int64_t evictable = 0;  // in the prefix tree, held by nobody
  int64_t leased = 0;     // held by requests, in the tree or their own
  int64_t fenced = 0;     // given back, but a plan in flight may still touch them
};

// "full: 15 available (12 free + 3 evictable) + 1 leased + 0 fenced of 16 pages; window 512: ..."
std::string Describe(std::span<const PoolUsage> pools);

}  // namespace banyan
