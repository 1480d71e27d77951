// SPDX-License-Identifier: Apache-2.0
// PagePool: the free pages of one kind. Page numbers are 1..capacity; page 0 is the dump that
// padding writes to and is never handed out. Pages that a plan in flight may still touch are given
// back with that plan's number as a fence and become free when it has ended. Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "cache/cache_spec.h"

namespace banyan {

class PagePool {
 public:
  explicit PagePool(int64_t capacity);

  int64_t capacity() const { return capacity_; }
  int64_t free() const { return static_cast<int64_t>(free_.size()); }
  int64_t fenced() const { return static_cast<int64_t>(fenced_.size()); }

  PageId Take();  // needs free() > 0
  void Give(PageId page) { free_.push_back(page); }
  // Free once every plan up to `plan` has ended. Fences never decrease from call to call.
  void GiveAfter(PageId page, uint64_t plan) { fenced_.push_back({plan, page}); }
  void Retire(uint64_t completed);

  // Calls fn(page) for each page that is free or fenced. For invariant checks.
  template <typename Fn>
  void ForEach(Fn fn) const {
    for (PageId page : free_) fn(page);
    for (const Fenced& fenced : fenced_) fn(fenced.page);
  }

 private:
  struct Fenced {
    uint64_t plan;
    PageId page;
  };
  int64_t capacity_;
  std::vector<PageId> free_;  // a stack: what was freed last is warm
  std::deque<Fenced> fenced_;
};

}  // namespace banyan
