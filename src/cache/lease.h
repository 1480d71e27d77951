// SPDX-License-Identifier: Apache-2.0
// CacheLease: the move-only proof of the pages that one request holds: a path of the tree, of which
// it locks what it may still read, and behind it pages of its own. It may outlive its request
// (PrefixCache::ReleaseAfter). Destroying it gives everything back at once.
//
// One row of pages per kind: entry i holds the positions [i * page_size, (i + 1) * page_size), or
// is kNoPage where nothing will be read any more. Entries of [0, shared()) belong to the tree. Not
// thread-safe. Borrows the PrefixCache, which must outlive it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "cache/cache_spec.h"
#include "cache/node_store.h"

namespace banyan {

class PrefixCache;

// Entry `index` of the row of one kind is now `page`.
struct PageChange {
  KindId kind = 0;
  int32_t index = 0;
  PageId page = kNoPage;
};

class CacheLease {
 public:
  CacheLease() = default;
  CacheLease(CacheLease&& other) noexcept;
  CacheLease& operator=(CacheLease&& other) noexcept;
  ~CacheLease() { Release(); }

  bool held() const { return cache_ != nullptr; }
  Position shared() const { return shared_; }
  std::span<const PageId> pages(KindId kind) const { return held_[kind].pages; }

  // Pages for the positions below `to`, evicting what nobody holds. All or nothing: false when
  // there are not enough. Appends the new entries to `changes`.
  bool Reserve(Position to, std::vector<PageChange>* changes);
  // How far Reserve would reach, at most `to`.
  Position Reservable(Position to) const;

  // The entries of tokens[0, computed) are written: puts whole pages of them in the tree, for
  // others to use. Where the tree had them already, this row changes over to the tree's.
  // `tokens` is the request's whole sequence so far.
  void Publish(std::span<const TokenId> tokens, Position computed, int priority,
               std::vector<PageChange>* changes);

  // No query below position `next` will run any more, in this plan or any in flight: gives back
  // what only those could see.
  void Advance(Position next);

  void Release();

  // Calls fn(kind, page) for each page that is the lease's own.
  template <typename Fn>
  void ForEachOwn(Fn fn) const;

 private:
  friend class PrefixCache;
  struct Held {
    std::vector<PageId> pages;
    // The nodes of the path that are locked: those that end after `lock_from` or begin before
    // `lock_head`. Both lie on borders of nodes, so that a split does not change the set.
    Position lock_from = 0, lock_head = 0;
    int32_t given_back = 0;  // own entries below this index have been given back already
  };
  CacheLease(PrefixCache* cache, NodeId node, Position shared);
  void LockPath(int priority);
  bool Locks(const Held& held, const Node& node) const {
    return node.end() > held.lock_from || node.begin < held.lock_head;
  }
  NodeId PublishRun(NodeId at, std::span<const TokenId> run, Position begin,
                    std::vector<PageChange>* changes);
  void UnlockBelow(KindId kind, Position need);

  PrefixCache* cache_ = nullptr;
  NodeId node_ = kNoNode;  // end of the path
  Position shared_ = 0;
  absl::InlinedVector<Held, 2> held_;
};

}  // namespace banyan
