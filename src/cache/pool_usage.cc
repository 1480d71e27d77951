// SPDX-License-Identifier: Apache-2.0
#include "cache/pool_usage.h"

#include "base/status.h"

namespace banyan {

std::string Describe(std::span<const PoolUsage> pools) {
  std::string text;
  for (const PoolUsage& pool : pools) {
    text += fmt::format(
        "{}{}: {} available ({} free + {} evictable) + {} leased + {} fenced of {} pages",
        text.empty() ? "" : "; ", pool.name, pool.free + pool.evictable, pool.free, pool.evictable,
        pool.leased, pool.fenced, pool.total);
  }
  return text;
}

}  // namespace banyan
