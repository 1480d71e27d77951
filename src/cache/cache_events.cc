// SPDX-License-Identifier: Apache-2.0
#include "cache/cache_events.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace banyan {

BlockHash HashBlock(BlockHash before, std::span<const TokenId> page) {
  return XXH3_64bits_withSeed(page.data(), page.size_bytes(), before);
}

BlockHash HashNamespace(std::string_view name) { return XXH3_64bits(name.data(), name.size()); }

std::string_view Name(CacheMiss miss) {
  switch (miss) {
    case CacheMiss::kNone:
      return "";
    case CacheMiss::kNew:
      return "new";
    case CacheMiss::kEvicted:
      return "evicted";
    case CacheMiss::kNamespace:
      return "extra_key";
    case CacheMiss::kNoCheckpoint:
      return "no_state_checkpoint";
    case CacheMiss::kWindowGone:
      return "window_gone";
    case CacheMiss::kDisabled:
      return "disabled";
  }
  return "";
}

}  // namespace banyan
