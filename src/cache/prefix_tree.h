// SPDX-License-Identifier: Apache-2.0
// PrefixTree: one token-exact tree for all kinds of cache. A node holds a run of tokens, a multiple
// of the page size, and per kind a slot: pages with the entries of just those tokens (for state:
// the checkpoint at the node's end), or nothing. Identity is (namespace, tokens), compared exactly;
// hashes only find candidates. The tree owns the pages in its slots.
//
// Match and insert cost O(tokens), eviction O(evicted). Not thread-safe. docs/design.md section 5.
// What a request holds of it is in cache/lease.h.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/status.h"
#include "cache/cache_events.h"
#include "cache/cache_spec.h"
#include "cache/child_index.h"
#include "cache/eviction.h"
#include "cache/kinds/kind.h"
#include "cache/node_store.h"
#include "cache/page_pool.h"

namespace banyan {

// A place in the tree: `offset` tokens into `node`, of which offset is at least one page, or 0 for
// the root of a namespace (kNoNode when the tree does not know the namespace).
struct TreePlace {
  NodeId node = kNoNode;
  uint32_t offset = 0;
  Position position = 0;  // tokens from the namespace's root to here
};

struct TreeMatch {
  TreePlace resume;   // the deepest place at which every kind has what it needs
  TreePlace deepest;  // the deepest place whose tokens equal the request's
};

class PrefixTree {
 public:
  // Borrows kinds and pools, one of each per kind. Without kinds the tree holds tokens only.
  PrefixTree(std::span<const std::unique_ptr<CacheKind>> kinds, std::span<PagePool> pools,
             int page_size, EvictionPolicy policy);

  // Is told of every node from now on; none: null. Borrowed.
  void SetObserver(TreeObserver* observer) { observer_ = observer; }

  int page_size() const { return page_size_; }
  int kinds() const { return store_.kinds(); }

  // --- reading ---
  TreeMatch Match(std::string_view name, std::span<const TokenId> tokens) const;
  int64_t num_tokens() const { return num_tokens_; }
  int64_t num_nodes() const { return store_.size(); }
  NodeId id_limit() const { return store_.limit(); }                  // ids are below
  int64_t pages(KindId kind) const { return counts_[kind].pages; }    // in the tree
  int64_t locked(KindId kind) const { return counts_[kind].locked; }  // of those, locked
  int64_t evictable(KindId kind) const { return pages(kind) - locked(kind); }
  // Counts up whenever a match may have become longer or shorter.
  uint64_t changes() const { return changes_; }
  const Node& node(NodeId id) const { return store_.node(id); }
  const NodeSlot& slot(NodeId id, KindId kind) const { return store_.slot(id, kind); }
  uint32_t num_pages(NodeId id, KindId kind) const;  // in the slot, when it is there
  // The hash of the page that ends at `place`; of the namespace itself at its root.
  BlockHash HashAt(const TreePlace& place) const;
  // Tells `observer` all that is stored. O(tree).
  void Visit(TreeObserver& observer) const;

  // --- growing ---
  // Adds tokens (whole pages of them) without entries; returns how many were there already.
  Position Insert(std::string_view name, std::span<const TokenId> tokens);
  NodeId Root(std::string_view name);  // made when it is not there
  // The child of `parent` that goes on with tokens[0..]; `common` is how many tokens of it equal
  // them, in whole pages. kNoNode and 0 when not even the first page is there.
  NodeId Child(NodeId parent, std::span<const TokenId> tokens, uint32_t* common) const;
  NodeId AddChild(NodeId parent, std::span<const TokenId> tokens);
  // Cuts the node after `offset` tokens; `id` stays the lower part, the upper one is returned. For
  // each kind the upper part has the same locks, but none of a state, which stays at the end.
  NodeId Split(NodeId id, uint32_t offset);
  uint64_t splits() const { return splits_; }  // so far
  // Gives a slot its entries; the tree owns them from now on. The slot was empty.
  void Fill(NodeId id, KindId kind, const PageId* pages, uint32_t count);
  // Takes a checkpoint out of the tree: the slot is the caller's, who is the only one to lock it.
  PageId TakeState(NodeId id, KindId kind);
  // A lease passed through here: counts for the order of eviction.
  void Use(NodeId id, int priority);
  void MarkInserted(NodeId id) { store_.node(id).inserted = insertion_; }
  void BeginInsertion() { ++insertion_; }

  // --- holding ---
  // A locked slot is not evicted; a pinned node does not disappear. Both count.
  void Lock(NodeId id, KindId kind);
  void Unlock(NodeId id, KindId kind);
  void Pin(NodeId id) { ++store_.node(id).pins; }
  void Unpin(NodeId id);  // the node may disappear, and its ancestors with it

  // --- shrinking ---
  // Frees at least `count` pages of the kind, or all that are not locked. Returns how many.
  int64_t Evict(KindId kind, int64_t count);
  // Everything that nothing holds.
  void Clear();

  // Structure, counters, orders; `visit(kind, page)` for each page in the tree. O(tree).
  template <typename Visit>
  Status Check(Visit visit) const {
    BANYAN_RETURN_IF_ERROR(CheckStructure());
    for (NodeId id = 0; id < store_.limit(); ++id) {
      if (!store_.node(id).live) continue;
      for (KindId kind = 0; kind < kinds(); ++kind) {
        const NodeSlot& slot = store_.slot(id, kind);
        if (!slot.pages) continue;
        for (uint32_t i = 0; i < num_pages(id, kind); ++i) visit(kind, slot.pages.data()[i]);
      }
    }
    return OkStatus();
  }

  // Whether each slot has just `expected(node, kind)` locks. O(tree).
  template <typename Expected>
  Status CheckLocks(Expected expected) const {
    for (NodeId id = 0; id < store_.limit(); ++id) {
      if (!store_.node(id).live) continue;
      for (KindId kind = 0; kind < kinds(); ++kind) {
        if (store_.slot(id, kind).locks != expected(id, kind)) {
          return Internal("node {} kind {}: {} locks, of which leases know {}", id, kind,
                          store_.slot(id, kind).locks, expected(id, kind));
        }
      }
    }
    return OkStatus();
  }

 private:
  struct Count {
    int64_t pages = 0, locked = 0;
  };
  // How far the entries of each kind reach without a gap, while a path is walked down.
  struct Reach {
    Position from = 0;
    bool head = true;
  };
  Position Resumable(NodeId id, Position end, std::span<const Reach> reach) const;
  // The hashes of `tokens` behind `chain`, in hashes_.
  std::span<const BlockHash> HashPages(BlockHash chain, std::span<const TokenId> tokens);
  void FreeSlot(NodeId id, KindId kind);
  bool Useful(NodeId id) const;
  void DropIfUseless(NodeId id);
  void Remove(NodeId id);
  Status CheckStructure() const;

  const std::span<const std::unique_ptr<CacheKind>> kinds_;
  const std::span<PagePool> pools_;
  const int page_size_;
  NodeStore store_;
  ChildIndex index_;
  std::vector<EvictionOrder> orders_;
  std::vector<Count> counts_;
  absl::flat_hash_map<std::string, NodeId> roots_;
  absl::flat_hash_map<NodeId, std::string> names_;  // of the roots
  int64_t num_tokens_ = 0;
  uint64_t insertion_ = 0;
  uint64_t changes_ = 0, splits_ = 0;
  TreeObserver* observer_ = nullptr;
  std::vector<BlockHash> hashes_;
};

}  // namespace banyan
