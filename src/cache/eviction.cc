// SPDX-License-Identifier: Apache-2.0
#include "cache/eviction.h"

namespace banyan {

StatusOr<EvictionPolicy> ParseEvictionPolicy(std::string_view name) {
  if (name == "lru") return EvictionPolicy::kLru;
  if (name == "lfu") return EvictionPolicy::kLfu;
  if (name == "slru") return EvictionPolicy::kSlru;
  if (name == "fifo") return EvictionPolicy::kFifo;
  if (name == "priority") return EvictionPolicy::kPriority;
  return InvalidArgument("eviction policy '{}' is not one of lru, lfu, slru, fifo, priority", name);
}

int64_t EvictionOrder::Rank(const Node& node) const {
  switch (policy_) {
    case EvictionPolicy::kLru:
      return 0;
    case EvictionPolicy::kLfu:
      return node.hits;
    case EvictionPolicy::kSlru:
      return node.hits > 1;
    case EvictionPolicy::kFifo:
      return static_cast<int64_t>(node.inserted);
    case EvictionPolicy::kPriority:
      return node.priority;
  }
  return 0;
}

void EvictionOrder::Add(NodeId id) {
  NodeSlot& slot = store_.slot(id, kind_);
  slot.rank = Rank(store_.node(id));
  slot.listed = true;
  List& list = lists_[slot.rank];
  slot.older = list.newest;
  slot.newer = kNoNode;
  (list.newest == kNoNode ? list.oldest : store_.slot(list.newest, kind_).newer) = id;
  list.newest = id;
}

void EvictionOrder::AddAfter(NodeId id, NodeId upper) {
  NodeSlot& slot = store_.slot(id, kind_);
  NodeSlot& added = store_.slot(upper, kind_);
  List& list = lists_[slot.rank];
  added.rank = slot.rank;
  added.listed = true;
  added.older = id;
  added.newer = slot.newer;
  (slot.newer == kNoNode ? list.newest : store_.slot(slot.newer, kind_).older) = upper;
  slot.newer = upper;
}

void EvictionOrder::Remove(NodeId id) {
  NodeSlot& slot = store_.slot(id, kind_);
  const auto found = lists_.find(slot.rank);
  List& list = found->second;
  (slot.older == kNoNode ? list.oldest : store_.slot(slot.older, kind_).newer) = slot.newer;
  (slot.newer == kNoNode ? list.newest : store_.slot(slot.newer, kind_).older) = slot.older;
  if (list.oldest == kNoNode) lists_.erase(found);
  slot.older = slot.newer = kNoNode;
  slot.listed = false;
}

}  // namespace banyan
