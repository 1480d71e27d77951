// SPDX-License-Identifier: Apache-2.0
#include "cache/child_index.h"

#include <cstring>

#include "base/check.h"

namespace banyan {

uint32_t ChildIndex::Hash(NodeId parent, const TokenId* tokens) const {
  uint64_t h = (parent + 1) * 0x9E3779B97F4A7C15ull;
  for (int i = 0; i < page_size_; ++i) {
    h = (h ^ static_cast<uint32_t>(tokens[i])) * 0xFF51AFD7ED558CCDull;
    h ^= h >> 32;
  }
  return static_cast<uint32_t>(h ^ (h >> 29));
}

NodeId ChildIndex::Find(NodeId parent, const TokenId* tokens, uint32_t hash) const {
  if (table_.empty()) return kNoNode;
  for (size_t i = Home(hash); table_[i] != kNoNode; i = (i + 1) & (table_.size() - 1)) {
    const Node& node = store_.node(table_[i]);
    if (node.hash == hash && node.parent == parent &&
        std::memcmp(node.tokens.data(), tokens, page_size_ * sizeof(TokenId)) == 0) {
      return table_[i];
    }
  }
  return kNoNode;
}

void ChildIndex::Add(NodeId child) {
  if ((used_ + 1) * 3 > table_.size() * 2) Grow();
  size_t i = Home(store_.node(child).hash);
  while (table_[i] != kNoNode) i = (i + 1) & (table_.size() - 1);
  table_[i] = child;
  ++used_;
}

size_t ChildIndex::Place(NodeId child) const {
  size_t i = Home(store_.node(child).hash);
  while (table_[i] != child) {
    BANYAN_CHECK(table_[i] != kNoNode, "node {} is not in the child index", child);
    i = (i + 1) & (table_.size() - 1);
  }
  return i;
}

void ChildIndex::Replace(NodeId child, NodeId upper) { table_[Place(child)] = upper; }

void ChildIndex::Remove(NodeId child) {
  const size_t mask = table_.size() - 1;
  size_t hole = Place(child);
  // Entries behind the hole move up as long as that does not put them before their home.
  for (size_t i = (hole + 1) & mask; table_[i] != kNoNode; i = (i + 1) & mask) {
    const size_t home = Home(store_.node(table_[i]).hash);
    if (((i - home) & mask) >= ((i - hole) & mask)) {
      table_[hole] = table_[i];
      hole = i;
    }
  }
  table_[hole] = kNoNode;
  --used_;
}

void ChildIndex::Grow() {
  std::vector<NodeId> old(table_.empty() ? 64 : table_.size() * 2, kNoNode);
  old.swap(table_);
  used_ = 0;
  for (NodeId child : old) {
    if (child != kNoNode) Add(child);
  }
}

}  // namespace banyan
