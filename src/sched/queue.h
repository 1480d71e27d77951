// SPDX-License-Identifier: Apache-2.0
// WaitingQueue: the requests that wait for a row, in the order in which they are to be tried.
// Private to sched/. Not thread-safe.
//
// fcfs: by arrival. A retracted request keeps its place, so that it comes back before whatever
// arrived after it.
//
// A request may follow another, which computes a prefix that both share: it still waits, but is not
// tried until the other's prefill has ended.
#pragma once

#include <cstdint>

#include "absl/container/btree_set.h"
#include "sched/request_state.h"

namespace banyan {

class WaitingQueue {
 public:
  void Add(Request* request);
  void Remove(Request* request);
  void Follow(Request* request, Request* leader);
  void ReleaseFollowers(Request* leader);                // all of them are tried again
  void TokensAdded(int64_t count) { tokens_ += count; }  // to a request that waits

  int size() const { return static_cast<int>(order_.size()) + following_; }
  int64_t tokens() const { return tokens_; }
  bool empty() const { return size() == 0; }

  // The one to try first, and the one after `request` (null: none). Neither looks at the rest.
  Request* First() const { return order_.empty() ? nullptr : *order_.begin(); }
  Request* After(Request* request) const;

 private:
  struct Before {
    bool operator()(const Request* a, const Request* b) const { return a->sequence < b->sequence; }
  };
  absl::btree_set<Request*, Before> order_;
  int64_t tokens_ = 0;
  int following_ = 0;
};

}  // namespace banyan
