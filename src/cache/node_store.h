// SPDX-License-Identifier: Apache-2.0
// The nodes of the prefix tree in memory: an arena of nodes with one slot per kind beside each.
// 80 bytes a node and 40 a slot, 4 a token and 4 a page. Ids stay valid until Free; addresses too.
// Not thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "cache/cache_spec.h"

namespace banyan {

using NodeId = uint32_t;
inline constexpr NodeId kNoNode = ~NodeId{0};

// An array that gives away its front: splitting a node copies the front, which was just compared,
// and leaves the rest where it is until a fifth of the array is unused.
template <typename T>
class Run {
 public:
  Run() = default;
  Run(const T* items, uint32_t count) { Assign(items, count); }

  explicit operator bool() const { return items_ != nullptr; }
  T* data() { return items_.get() + skip_; }
  const T* data() const { return items_.get() + skip_; }
  void Assign(const T* items, uint32_t count) {
    items_.reset(new T[count]);
    std::copy(items, items + count, items_.get());
    skip_ = 0;
  }
  void Clear() {
    items_.reset();
    skip_ = 0;
  }
  // The first `n` of `count` items, which this run then no longer holds.
  Run TakeFront(uint32_t n, uint32_t count) {
    Run front(data(), n);
    skip_ += n;
    if (4 * skip_ >= count - n) *this = Run(data(), count - n);
    return front;
  }

 private:
  std::unique_ptr<T[]> items_;
  uint32_t skip_ = 0;
};

struct Node {
  Run<TokenId> tokens;
  NodeId parent = kNoNode;  // none: the root of a namespace
  uint32_t begin = 0;       // position of its first token
  uint32_t length = 0;      // tokens, a multiple of the page size
  uint32_t children = 0;
  uint32_t pins = 0;      // leases that end here
  uint32_t hits = 0;      // leases that passed through
  uint64_t inserted = 0;  // number of the last insertion that passed through
  uint64_t chain = 0;     // BlockHash of its last page
  uint32_t hash = 0;      // of the parent and the first page: its place in the child index
  int32_t priority = 0;
  bool live = false;

  Position end() const { return Position{begin} + length; }
};

// What a node holds for one kind: the pages of its tokens, or the state at its end.
struct NodeSlot {
  Run<PageId> pages;  // empty: not there (evicted, or given back before it was inserted)
  uint32_t locks = 0;
  NodeId older = kNoNode, newer = kNoNode;  // neighbours in the order of eviction
  bool listed = false;                      // there and not locked: in that order
  int64_t rank = 0;                         // the list of the order that it is in
};

class NodeStore {
 public:
  explicit NodeStore(int kinds) : kinds_(kinds) {}

  NodeId Make();
  void Free(NodeId id);

  Node& node(NodeId id) { return blocks_[id / kBlock].nodes[id % kBlock]; }
  const Node& node(NodeId id) const { return blocks_[id / kBlock].nodes[id % kBlock]; }
  NodeSlot& slot(NodeId id, KindId kind) {
    return blocks_[id / kBlock].slots[id % kBlock * kinds_ + kind];
  }
  const NodeSlot& slot(NodeId id, KindId kind) const {
    return blocks_[id / kBlock].slots[id % kBlock * kinds_ + kind];
  }
  int kinds() const { return kinds_; }
  int64_t size() const { return size_; }   // nodes in use
  NodeId limit() const { return limit_; }  // every id that was ever in use is below

 private:
  static constexpr uint32_t kBlock = 1024;
  struct Block {
    std::unique_ptr<Node[]> nodes;
    std::unique_ptr<NodeSlot[]> slots;
  };
  const int kinds_;
  int64_t size_ = 0;
  NodeId limit_ = 0;
  std::vector<Block> blocks_;
  std::vector<NodeId> free_;
};

}  // namespace banyan
