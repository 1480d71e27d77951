// SPDX-License-Identifier: Apache-2.0
// RecentHashes: the last `capacity` hashes that were added, each with the value it was added with
// last, in constant memory. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace banyan {

class RecentHashes {
 public:
  explicit RecentHashes(size_t capacity) : capacity_(capacity) {}

  void Add(uint64_t hash, uint64_t value = 0) {
    if (ring_.size() < capacity_) {
      ring_.push_back(hash);
    } else {
      const auto oldest = entries_.find(ring_[next_]);
      if (--oldest->second.times == 0) entries_.erase(oldest);
      ring_[next_] = hash;
      next_ = (next_ + 1) % capacity_;
    }
    Entry& entry = entries_[hash];
    ++entry.times;
    entry.value = value;
  }
  // Null when it is not one of them.
  const uint64_t* Find(uint64_t hash) const {
    const auto found = entries_.find(hash);
    return found == entries_.end() ? nullptr : &found->second.value;
  }

 private:
  struct Entry {
    uint32_t times = 0;
    uint64_t value = 0;
  };
  const size_t capacity_;
  std::vector<uint64_t> ring_;
  size_t next_ = 0;
  absl::flat_hash_map<uint64_t, Entry> entries_;
};

}  // namespace banyan
