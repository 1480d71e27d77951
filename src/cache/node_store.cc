// SPDX-License-Identifier: Apache-2.0
#include "cache/node_store.h"

namespace banyan {

NodeId NodeStore::Make() {
  if (free_.empty()) {
    const auto first = static_cast<NodeId>(blocks_.size() * kBlock);
    blocks_.push_back(
        {std::make_unique<Node[]>(kBlock), std::make_unique<NodeSlot[]>(kBlock * kinds_)});
    for (NodeId id = first + kBlock; id > first; --id) free_.push_back(id - 1);
  }
  const NodeId id = free_.back();
  free_.pop_back();
  limit_ = std::max(limit_, id + 1);
  node(id).live = true;
  ++size_;
  return id;
}

void NodeStore::Free(NodeId id) {
  node(id) = Node();
  for (KindId kind = 0; kind < kinds_; ++kind) slot(id, kind) = NodeSlot();
  free_.push_back(id);
  --size_;
}

}  // namespace banyan
