// SPDX-License-Identifier: Apache-2.0
#include "sched/queue.h"

#include <utility>
#include <vector>

#include "base/check.h"

namespace banyan {

void WaitingQueue::Add(Request* request) {
  BANYAN_CHECK(order_.insert(request).second);
  tokens_ += static_cast<int64_t>(request->tokens.size());
}

void WaitingQueue::Remove(Request* request) {
  if (request->leader != nullptr) {
    std::erase(std::exchange(request->leader, nullptr)->followers, request);
    --following_;
  } else {
    BANYAN_CHECK(order_.erase(request) == 1);
  }
  tokens_ -= static_cast<int64_t>(request->tokens.size());
}

void WaitingQueue::Follow(Request* request, Request* leader) {
  BANYAN_CHECK(order_.erase(request) == 1);
  request->leader = leader;
  leader->followers.push_back(request);
  ++following_;
}

void WaitingQueue::ReleaseFollowers(Request* leader) {
  for (Request* request : leader->followers) {
    request->leader = nullptr;
    order_.insert(request);
    --following_;
  }
  leader->followers.clear();
}

Request* WaitingQueue::After(Request* request) const {
  const auto next = order_.upper_bound(request);
  return next == order_.end() ? nullptr : *next;
}

}  // namespace banyan
