// SPDX-License-Identifier: Apache-2.0
// WeightOrder: which weight a pass reads after which, learned from the pass before, so that the
// pool's idle workers can read ahead (base/thread_pool.h). A decode step's ops are short, and
// between two of them the memory would be idle; a model's weights come in the same order each time.
// One per executor; not thread-safe.
#pragma once

#include <cstddef>
#include <span>
#include <unordered_map>

namespace banyan::ops {

class WeightOrder {
 public:
  // Says that the bytes of a weight are read now; returns those that came after it the last time,
  // or none. A guess about memory that may be gone: to be asked for, never to be read.
  std::span<const std::byte> Next(std::span<const std::byte> weight);

 private:
  std::unordered_map<const std::byte*, std::span<const std::byte>> next_;
  const std::byte* last_ = nullptr;
};

}  // namespace banyan::ops
