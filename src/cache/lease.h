// SPDX-License-Identifier: Apache-2.0
// CacheLease: the move-only proof of the pages that one request holds: a path of the tree, of which
// it locks what it may still read, and behind it pages of its own. It may outlive its request
// (PrefixCache::ReleaseAfter). Destroying it gives everything back at once.
//
// One row of pages per kind: entry i holds the positions [i * page_size, (i + 1) * page_size), or
// is kNoPage where nothing will be read any more. Entries of [0, shared()) belong to the tree. For
// state the row has one entry: the slot that the request's own state lives in. It begins as a copy
// of the checkpoint that was matched, and snapshots of it become checkpoints of the tree.
//
// Not thread-safe. Borrows the PrefixCache, which must outlive it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "base/status.h"
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

  // --- state ---
  // The slots reserved since the last call that have to be copied from the checkpoint matched.
  struct StateCopy {
    KindId kind;
    PageId from, to;
  };
  std::vector<StateCopy> TakeCopies();
  void CopiesEnded();  // the plan with the copies has ended: the checkpoint needs no lock any more
  // A slot per state kind for a snapshot at `position`, to be published when that is computed;
  // empty when there is none to be had (only cached checkpoints are given up for it). Of rolling
  // ones the last two are kept, or one where running requests hold half of the slots.
  std::vector<PageChange> Snapshot(Position position, bool rolling);
  // The request's own state is that of `position` and will not move on: it can be published too.
  void Settle(Position position);

  // The entries of tokens[0, computed) are written: puts whole pages of them in the tree, for
  // others to use; where there is state, as far as the last snapshot. What the tree had already,
  // this row changes over to. `tokens` is the request's whole sequence so far.
  void Publish(std::span<const TokenId> tokens, Position computed, int priority,
               std::vector<PageChange>* changes);

  // No query below position `next` will run any more, in this plan or any in flight: gives back
  // what only those could see.
  void Advance(Position next);
  // The same where pages are short: nodes of which only a part can be read are cut, and the rest of
  // them is let go. False when there is nothing to cut.
  bool Tighten(Position next);

  void Release();

  // For checks: whether just those nodes of the path are locked of which a query at `next` or later
  // reads anything. (Where a node has been split since the last Advance both halves may be.)
  Status CheckNeeds(Position next) const;
  // Calls fn(node, kind) for each slot that the lease locks.
  template <typename Fn>
  void ForEachLock(Fn fn) const;
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
    // State: the checkpoint matched, locked until it is copied, and whether that is still to plan.
    NodeId source = kNoNode;
    bool copy = false;
  };
  // A snapshot that is not in the tree yet.
  struct Saved {
    Position position = 0;
    bool rolling = false;
    absl::InlinedVector<PageId, 2> slots;  // per state kind, in their order
  };
  CacheLease(PrefixCache* cache, NodeId node, Position shared);
  void LockPath(int priority);
  bool Locks(const Held& held, const Node& node) const {
    return node.end() > held.lock_from || node.begin < held.lock_head;
  }
  bool Holds(Position to) const;
  bool StatesReservable() const;
  void ReserveStates(std::vector<PageChange>* changes);
  void PublishTo(std::span<const TokenId> tokens, Position end, int priority,
                 std::vector<PageChange>* changes);
  void PublishState(const Saved& saved);
  void Drop(const Saved& saved);
  NodeId PublishRun(NodeId at, std::span<const TokenId> run, Position begin,
                    std::vector<PageChange>* changes);
  void UnlockBelow(KindId kind, Position need);
  void UnlockBehindSinks(KindId kind);

  PrefixCache* cache_ = nullptr;
  NodeId node_ = kNoNode;  // end of the path
  Position shared_ = 0;
  uint64_t splits_ = 0;  // of the tree, when the locks were last made to fit
  absl::InlinedVector<Held, 2> held_;
  std::vector<Saved> saved_;  // by position
};

}  // namespace banyan
