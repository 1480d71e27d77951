// SPDX-License-Identifier: Apache-2.0
// EvictionOrder: which node of one kind goes next. It holds the nodes that have entries of the kind
// and are not locked, as intrusive lists by rank (which the policy gives) and, within a rank, by
// the time of their last use. Every operation is O(1), or O(log ranks) for a policy with many.
//
// A node whose entries are locked has its ancestors locked too, and a lease lets go of a path from
// its end upwards; a node's rank is never above its parent's. So a parent always comes after its
// children, and the first of the order is a leaf of the kind, without a search for one.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/container/btree_map.h"
#include "base/status.h"
#include "cache/node_store.h"

namespace banyan {

enum class EvictionPolicy : uint8_t {
  kLru,       // last used longest ago
  kLfu,       // used by the fewest leases, then lru
  kSlru,      // used by one lease only, then lru among those; then the others
  kFifo,      // the insertion that last passed through it was longest ago
  kPriority,  // lowest priority of the requests that used it, then lru
};
StatusOr<EvictionPolicy> ParseEvictionPolicy(std::string_view name);

class EvictionOrder {
 public:
  EvictionOrder(NodeStore& store, KindId kind, EvictionPolicy policy)
      : store_(store), kind_(kind), policy_(policy) {}

  void Add(NodeId id);  // as the one used last
  void Remove(NodeId id);
  // `upper` was split off the front of `id`: it goes right after it.
  void AddAfter(NodeId id, NodeId upper);
  NodeId first() const { return lists_.empty() ? kNoNode : lists_.begin()->second.oldest; }

 private:
  struct List {
    NodeId oldest = kNoNode, newest = kNoNode;
  };
  int64_t Rank(const Node& node) const;

  NodeStore& store_;
  const KindId kind_;
  const EvictionPolicy policy_;
  absl::btree_map<int64_t, List> lists_;  // none is empty
};

}  // namespace banyan
