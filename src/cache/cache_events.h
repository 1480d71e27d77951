// SPDX-License-Identifier: Apache-2.0
// What comes into the prefix tree and leaves it, for those who mirror it elsewhere (KV events), and
// why a prefix was not found.
//
// A block is one page of tokens at its place in the tree. Its hash chains those of all pages before
// it and begins with the namespace: equal hashes stand for equal namespaces and prefixes. It is 64
// bits of XXH3, good for finding, no proof against forgery: the tree itself compares tokens.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "cache/cache_spec.h"

namespace banyan {

using BlockHash = uint64_t;

// Hash of the block `page` behind `before`, which for the first one is HashNamespace(name).
BlockHash HashBlock(BlockHash before, std::span<const TokenId> page);
BlockHash HashNamespace(std::string_view name);

// Called on the engine's thread, in the order in which things happen: a block is stored after the
// one before it and removed after those behind it.
class TreeObserver {
 public:
  virtual ~TreeObserver() = default;
  // Blocks that follow each other, and what they follow: a block, or with `first` their namespace.
  // A block counts as stored while any later request could resume at its end or behind it.
  virtual void OnStored(BlockHash before, bool first, std::span<const TokenId> tokens,
                        std::span<const BlockHash> hashes) = 0;
  virtual void OnRemoved(std::span<const BlockHash> hashes) = 0;
  virtual void OnCleared() = 0;  // all that is left
};

// Called on the engine's thread around each eviction, which has no clock of its own.
class EvictionObserver {
 public:
  virtual ~EvictionObserver() = default;
  virtual void OnEvictionBegins() = 0;
  virtual void OnEvictionEnds(int64_t pages) = 0;  // evicted; perhaps none
};

// Why a hit ended where it did.
enum class CacheMiss : uint8_t {
  kNone,       // it did not: all that can be shared was found
  kNew,        // nobody had such a prompt before, as far as is known
  kEvicted,    // its next page was there not long ago
  kNamespace,  // another namespace (extra_key, salt, RopeLengths) has it, which must not be shared
  kNoCheckpoint,  // more tokens are known, but no recurrent state was kept so far on
  kWindowGone,    // more tokens are known, but the entries of a window before them were given back
  kDisabled,      // there is no prefix cache
};
// "new", "evicted", "extra_key", "no_state_checkpoint", "window_gone", "disabled"; "" for kNone.
std::string_view Name(CacheMiss miss);

}  // namespace banyan
