// SPDX-License-Identifier: Apache-2.0
// PrefixCache: the cache of one engine: a pool of pages per kind, one tree over all of them, and
// the fences of plans in flight. What the scheduler sees of cache/, together with CacheLease.
//
// A page is in exactly one place: free, fenced, in the tree, or a lease's own (CheckInvariants).
// Not thread-safe: the engine's thread owns it.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "base/status.h"
#include "cache/cache_events.h"
#include "cache/cache_spec.h"
#include "cache/kinds/kind.h"
#include "cache/lease.h"
#include "cache/page_pool.h"
#include "cache/pool_usage.h"
#include "cache/prefix_tree.h"
#include "cache/recent_hashes.h"

namespace banyan {

struct PrefixCacheConfig {
  std::vector<CacheGroupSpec> groups;
  std::vector<int64_t> pages_per_group;  // without the dump page
  int page_size = 1;
  int checkpoint_interval = 64;  // of a state, at most, while a request decodes
  std::string eviction_policy = "lru";
  bool disabled = false;                          // nothing is found and nothing is kept
  TreeObserver* observer = nullptr;               // borrowed; none: null
  EvictionObserver* eviction_observer = nullptr;  // likewise
};

class PrefixCache : private TreeObserver {
 public:
  static StatusOr<std::unique_ptr<PrefixCache>> Create(PrefixCacheConfig config);

  int page_size() const { return config_.page_size; }
  int kinds() const { return static_cast<int>(kinds_.size()); }
  const CacheKind& kind(KindId kind) const { return *kinds_[kind]; }
  std::span<const KindId> state_kinds() const { return state_kinds_; }
  int64_t capacity(KindId kind) const { return pools_[kind].capacity(); }
  // What an allocation may use: free, or in the tree and held by nobody.
  int64_t Available(KindId kind) const { return pools_[kind].free() + tree_.evictable(kind); }
  // Becomes free without anybody giving up anything, when plans in flight end.
  int64_t fenced(KindId kind) const;

  TreeMatch Match(std::string_view name, std::span<const TokenId> tokens) const;
  // Why the match of `tokens` ended where it did: of all that could be shared, so without what has
  // to be computed anyway.
  CacheMiss Explain(std::string_view name, std::span<const TokenId> tokens,
                    const TreeMatch& match) const;
  // Locks what the match found and begins a lease of it. The match must be of this moment.
  CacheLease Acquire(std::string_view name, const TreeMatch& match, int priority);

  // The numbers of plans given out and ended: pages that a plan in flight may touch are kept back
  // until it has ended.
  void PlanIssued(uint64_t number) { issued_ = number; }
  void PlanEnded(uint64_t number);
  bool in_flight() const { return ended_ < issued_; }
  // Releases the lease when every plan given out so far has ended.
  void ReleaseAfter(CacheLease lease);

  void Flush();  // what nobody holds
  const PrefixTree& tree() const { return tree_; }
  int64_t evicted_tokens() const { return evicted_tokens_; }  // since the start
  PoolUsage usage(KindId kind) const;
  std::string Describe() const;    // every pool, in one line
  Status CheckInvariants() const;  // O(pages + nodes)

 private:
  friend class CacheLease;
  explicit PrefixCache(PrefixCacheConfig config, EvictionPolicy policy);
  void OnStored(BlockHash before, bool first, std::span<const TokenId> tokens,
                std::span<const BlockHash> hashes) override;
  void OnRemoved(std::span<const BlockHash> hashes) override;
  void OnCleared() override {}
  bool WindowGone(const TreePlace& place) const;
  bool MakeRoom(KindId kind, int64_t count);
  void GiveFenced(KindId kind, PageId page);

  const PrefixCacheConfig config_;
  const bool fifo_;
  std::vector<std::unique_ptr<CacheKind>> kinds_;
  std::vector<KindId> state_kinds_;
  std::vector<PagePool> pools_;
  PrefixTree tree_;
  std::vector<int64_t> own_;  // pages that belong to leases, per kind
  absl::flat_hash_set<const CacheLease*> leases_;
  uint64_t issued_ = 0, ended_ = 0;
  // For Explain: pages that were evicted, and for first pages the namespace that had them last.
  RecentHashes evicted_, first_pages_;
  int64_t evicted_tokens_ = 0;
  struct Waiting {
    uint64_t plan;
    CacheLease lease;
  };
  std::deque<Waiting> waiting_;  // last member: leases go before what they borrow
};

template <typename Fn>
void CacheLease::ForEachLock(Fn fn) const {
  const PrefixTree& tree = cache_->tree_;
  for (KindId kind = 0; kind < static_cast<KindId>(held_.size()); ++kind) {
    if (held_[kind].source != kNoNode) fn(held_[kind].source, kind);
    if (!cache_->kind(kind).paged()) continue;
    for (NodeId id = node_; tree.node(id).parent != kNoNode; id = tree.node(id).parent) {
      if (Locks(held_[kind], tree.node(id))) fn(id, kind);
    }
  }
}

template <typename Fn>
void CacheLease::ForEachOwn(Fn fn) const {
  for (KindId kind = 0; kind < static_cast<KindId>(held_.size()); ++kind) {
    const auto& pages = held_[kind].pages;
    const size_t first = cache_->kind(kind).paged() ? shared_ / cache_->page_size() : 0;
    for (size_t i = first; i < pages.size(); ++i) {
      if (pages[i] != kNoPage) fn(kind, pages[i]);
    }
  }
  for (const Saved& saved : saved_) {
    for (size_t i = 0; i < saved.slots.size(); ++i) fn(cache_->state_kinds()[i], saved.slots[i]);
  }
}

}  // namespace banyan
