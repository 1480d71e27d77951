// SPDX-License-Identifier: Apache-2.0
// CachePools: the memory behind the page numbers: for each cache group and segment, one block of
// [pages, page_size, heads, dim]. Page 0 of every group is a dump that is never handed out.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "device/backend.h"
#include "nn/model.h"

namespace banyan {

class CachePools {
 public:
  // `pages_per_group`: without the dump page. kResourceExhausted says how much could not be had,
  // kUnimplemented names a kind of cache that has no pool yet.
  static StatusOr<CachePools> Allocate(Backend& backend, std::span<const CacheGroupSpec> groups,
                                       std::span<const int64_t> pages_per_group, int page_size);

  std::span<const nn::CachePool> pools() const { return pools_; }
  int64_t bytes() const { return bytes_; }

 private:
  std::vector<Buffer> memory_;
  std::vector<nn::CachePool> pools_;
  int64_t bytes_ = 0;
};

}  // namespace banyan
