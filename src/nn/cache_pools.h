// SPDX-License-Identifier: Apache-2.0
// CachePools: the memory behind the page numbers: for each cache group and segment, one block of
// [pages, page_size, heads, dim], or [slots, heads, dim] for states. Page 0 of every group is a
// dump that is never handed out.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "device/backend.h"
#include "nn/model.h"

namespace banyan::nn {

class CachePools {
 public:
  // `pages_per_group`: without the dump page. kResourceExhausted says how much could not be had.
  static StatusOr<CachePools> Allocate(Backend& backend, std::span<const CacheGroupSpec> groups,
                                       std::span<const int64_t> pages_per_group, int page_size);

  std::span<const CachePool> pools() const { return pools_; }
  int64_t bytes() const { return bytes_; }

  // Copies slot `from` of a group of states to slot `to`, in every layer.
  void CopySlot(Backend& backend, KindId group, PageId from, PageId to) const;

 private:
  std::vector<Buffer> memory_;
  std::vector<CachePool> pools_;
  int64_t bytes_ = 0;
};

}  // namespace banyan::nn
