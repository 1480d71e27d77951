// SPDX-License-Identifier: Apache-2.0
#include "sched/queue.h"

#include "base/check.h"

namespace banyan {

void WaitingQueue::Add(Request* request) {
  BANYAN_CHECK(order_.insert(request).second);
  tokens_ += static_cast<int64_t>(request->tokens.size());
}

void WaitingQueue::Remove(Request* request) {
  BANYAN_CHECK(order_.erase(request) == 1);
  tokens_ -= static_cast<int64_t>(request->tokens.size());
}

Request* WaitingQueue::After(Request* request) const {
  const auto next = order_.upper_bound(request);
  return next == order_.end() ? nullptr : *next;
}

}  // namespace banyan
