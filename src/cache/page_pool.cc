// SPDX-License-Identifier: Apache-2.0
#include "cache/page_pool.h"

#include "base/check.h"

namespace banyan {

PagePool::PagePool(int64_t capacity) : capacity_(capacity) {
  free_.reserve(capacity);
  for (int64_t page = capacity; page >= 1; --page) free_.push_back(static_cast<PageId>(page));
}

PageId PagePool::Take() {
  BANYAN_CHECK(!free_.empty(), "no free page");
  const PageId page = free_.back();
  free_.pop_back();
  return page;
}

void PagePool::Retire(uint64_t completed) {
  while (!fenced_.empty() && fenced_.front().plan <= completed) {
    free_.push_back(fenced_.front().page);
    fenced_.pop_front();
  }
}

}  // namespace banyan
