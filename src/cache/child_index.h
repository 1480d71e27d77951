// SPDX-License-Identifier: Apache-2.0
// ChildIndex: finds the child of a node whose first page holds given tokens, for the whole tree in
// one open-addressing table (linear probing, at most two thirds full: 6 to 12 bytes a node). The
// caller hashes; equality is decided by the tokens themselves, so that a collision only costs time.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "cache/node_store.h"

namespace banyan {

class ChildIndex {
 public:
  ChildIndex(const NodeStore& store, int page_size) : store_(store), page_size_(page_size) {}

  // The hash of a child of `parent` that begins with the page at `tokens`.
  uint32_t Hash(NodeId parent, const TokenId* tokens) const;
  NodeId Find(NodeId parent, const TokenId* tokens, uint32_t hash) const;  // kNoNode: none
  void Add(NodeId child);  // by node.hash; the parent has no such child yet
  void Remove(NodeId child);
  // `upper` takes the place of `child` in the index: both begin with the same page.
  void Replace(NodeId child, NodeId upper);

 private:
  size_t Home(uint32_t hash) const { return hash & (table_.size() - 1); }
  size_t Place(NodeId child) const;
  void Grow();

  const NodeStore& store_;
  const int page_size_;
  size_t used_ = 0;
  std::vector<NodeId> table_;
};

}  // namespace banyan
