// SPDX-License-Identifier: Apache-2.0
#include "cache/lease.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "cache/prefix_cache.h"

namespace banyan {

CacheLease::CacheLease(PrefixCache* cache, NodeId node, Position shared)
    : cache_(cache), node_(node), shared_(shared), held_(cache->kinds()) {
  cache_->leases_.insert(this);
  cache_->tree_.Pin(node_);
}

CacheLease::CacheLease(CacheLease&& other) noexcept
    : cache_(std::exchange(other.cache_, nullptr)),
      node_(other.node_),
      shared_(other.shared_),
      splits_(other.splits_),
      held_(std::move(other.held_)),
      saved_(std::move(other.saved_)) {
  if (cache_ == nullptr) return;
  cache_->leases_.erase(&other);
  cache_->leases_.insert(this);
}

CacheLease& CacheLease::operator=(CacheLease&& other) noexcept {
  if (this == &other) return *this;
  Release();
  cache_ = std::exchange(other.cache_, nullptr);
  node_ = other.node_;
  shared_ = other.shared_;
  splits_ = other.splits_;
  held_ = std::move(other.held_);
  saved_ = std::move(other.saved_);
  if (cache_ != nullptr) {
    cache_->leases_.erase(&other);
    cache_->leases_.insert(this);
  }
  return *this;
}

void CacheLease::LockPath(int priority) {
  PrefixTree& tree = cache_->tree_;
  splits_ = tree.splits();
  const int page_size = cache_->page_size();
  for (KindId kind = 0; kind < cache_->kinds(); ++kind) {
    if (!cache_->kind(kind).paged()) continue;
    held_[kind].pages.assign(shared_ / page_size, kNoPage);
    held_[kind].lock_from = shared_;
    held_[kind].given_back = static_cast<int32_t>(shared_ / page_size);
  }
  for (KindId kind : cache_->state_kinds()) {
    if (shared_ == 0) continue;
    tree.Lock(node_, kind);
    held_[kind].source = node_;
    held_[kind].copy = true;
  }
  for (NodeId id = node_; tree.node(id).parent != kNoNode; id = tree.node(id).parent) {
    const Node& node = tree.node(id);
    tree.Use(id, priority);
    for (KindId kind = 0; kind < cache_->kinds(); ++kind) {
      const CacheKind& rule = cache_->kind(kind);
      if (!rule.paged()) continue;
      Held& held = held_[kind];
      const bool reached = node.end() > rule.NeedsFrom(shared_);
      const bool head = node.begin < rule.sinks();
      if (!reached && !head) continue;
      if (reached) held.lock_from = node.begin;
      if (head) held.lock_head = std::max(held.lock_head, node.end());
      tree.Lock(id, kind);
      const auto& pages = tree.slot(id, kind).pages;
      BANYAN_CHECK(bool{pages}, "kind {}: a match over a gap", kind);
      std::copy_n(pages.data(), node.length / page_size,
                  held.pages.begin() + node.begin / page_size);
    }
  }
}

Position CacheLease::Reservable(Position to) const {
  if (!StatesReservable()) return 0;
  for (KindId kind = 0; kind < cache_->kinds(); ++kind) {
    if (!cache_->kind(kind).paged()) continue;
    const int64_t pages = static_cast<int64_t>(held_[kind].pages.size()) + cache_->Available(kind);
    to = std::min<Position>(to, pages * cache_->page_size());
  }
  return to;
}

// Whether all that Reserve would get is there, as it is for most steps of a request that decodes.
bool CacheLease::Holds(Position to) const {
  for (KindId kind = 0; kind < cache_->kinds(); ++kind) {
    const auto held = static_cast<int64_t>(held_[kind].pages.size());
    if (cache_->kind(kind).paged() ? held * cache_->page_size() < to : held == 0) return false;
  }
  return true;
}

bool CacheLease::Reserve(Position to, std::vector<PageChange>* changes) {
  if (Holds(to)) return true;
  if (Reservable(to) < to) return false;
  ReserveStates(changes);
  const int64_t end = (to + cache_->page_size() - 1) / cache_->page_size();
  for (KindId kind = 0; kind < cache_->kinds(); ++kind) {
    if (!cache_->kind(kind).paged()) continue;
    std::vector<PageId>& pages = held_[kind].pages;
    const int64_t count = end - static_cast<int64_t>(pages.size());
    if (count <= 0) continue;
    BANYAN_CHECK(cache_->MakeRoom(kind, count), "{} pages: {}", count, cache_->Describe());
    cache_->own_[kind] += count;
    for (int64_t i = 0; i < count; ++i) {
      pages.push_back(cache_->pools_[kind].Take());
      changes->push_back({kind, static_cast<int32_t>(pages.size()) - 1, pages.back()});
    }
  }
  return true;
}

void CacheLease::Publish(std::span<const TokenId> tokens, Position computed, int priority,
                         std::vector<PageChange>* changes) {
  if (cache_->config_.disabled) return;
  if (cache_->state_kinds().empty()) return PublishTo(tokens, computed, priority, changes);
  // Behind the last snapshot nothing could resume. Of an output the last one is enough.
  std::vector<Saved> later;
  for (size_t i = 0; i < saved_.size(); ++i) {
    Saved& saved = saved_[i];
    const bool last = i + 1 == saved_.size() || saved_[i + 1].position > computed;
    if (saved.position > computed) {
      later.push_back(std::move(saved));
    } else if (saved.position <= shared_ || (saved.rolling && !last)) {
      Drop(saved);
    } else {
      PublishTo(tokens, saved.position, priority, changes);
      PublishState(saved);
    }
  }
  saved_ = std::move(later);
}

void CacheLease::PublishTo(std::span<const TokenId> tokens, Position computed, int priority,
                           std::vector<PageChange>* changes) {
  const Position end = computed / cache_->page_size() * cache_->page_size();
  if (end <= shared_) return;
  PrefixTree& tree = cache_->tree_;
  tree.BeginInsertion();
  if (cache_->fifo_) {
    for (NodeId id = node_; id != kNoNode; id = tree.node(id).parent) tree.MarkInserted(id);
  }
  NodeId at = node_;
  while (shared_ < end) {
    at = PublishRun(at, tokens.subspan(shared_, end - shared_), shared_, changes);
    tree.Use(at, priority);
    tree.MarkInserted(at);
    shared_ = tree.node(at).end();
  }
  tree.Pin(at);
  tree.Unpin(std::exchange(node_, at));
}

// One node further: a child of `at` that holds the front of `run`, whose first token is at `begin`.
// Where own entries of a kind begin or end inside, the node ends there, so that each node has all
// entries of a kind or none.
NodeId CacheLease::PublishRun(NodeId at, std::span<const TokenId> run, Position begin,
                              std::vector<PageChange>* changes) {
  PrefixTree& tree = cache_->tree_;
  const int page_size = cache_->page_size();
  const int64_t first = begin / page_size;
  uint32_t common = 0;
  NodeId child = tree.Child(at, run, &common);
  int64_t count = (child == kNoNode ? static_cast<int64_t>(run.size()) : common) / page_size;
  for (KindId kind = 0; kind < cache_->kinds(); ++kind) {
    if (!cache_->kind(kind).paged()) continue;
    if (child != kNoNode && tree.slot(child, kind).pages) continue;
    const PageId* own = held_[kind].pages.data() + first;
    int64_t same = 1;
    while (same < count && (own[same] == kNoPage) == (own[0] == kNoPage)) ++same;
    count = same;
  }
  const auto length = static_cast<uint32_t>(count * page_size);
  if (child == kNoNode) {
    child = tree.AddChild(at, run.first(length));
  } else if (length < tree.node(child).length) {
    child = tree.Split(child, length);
  }

  for (KindId kind = 0; kind < cache_->kinds(); ++kind) {
    if (!cache_->kind(kind).paged()) continue;
    PageId* own = held_[kind].pages.data() + first;
    const NodeSlot& slot = tree.slot(child, kind);
    tree.Lock(child, kind);
    if (begin < cache_->kind(kind).sinks()) held_[kind].lock_head = begin + length;
    if (!slot.pages) {
      if (own[0] == kNoPage) continue;
      tree.Fill(child, kind, own, static_cast<uint32_t>(count));
      cache_->own_[kind] -= count;
      continue;
    }
    for (int64_t i = 0; i < count; ++i) {
      if (own[i] == kNoPage) continue;
      cache_->GiveFenced(kind, own[i]);
      --cache_->own_[kind];
      own[i] = slot.pages.data()[i];
      changes->push_back({kind, static_cast<int32_t>(first + i), own[i]});
    }
  }
  return child;
}

void CacheLease::Advance(Position next) {
  const uint64_t splits = std::exchange(splits_, cache_->tree_.splits());
  // From where another may go on: see CacheKind::ResumeSlack.
  Position resume = next;
  if (!cache_->config_.disabled) {
    resume = std::max<Position>(0, next - CacheKind::kLateStop);
    resume = resume / cache_->page_size() * cache_->page_size();
  }
  for (const Saved& saved : saved_)
    if (saved.rolling) resume = std::min(resume, saved.position);
  for (KindId kind = 0; kind < cache_->kinds(); ++kind) {
    const CacheKind& rule = cache_->kind(kind);
    if (!rule.paged() || !rule.may_have_gaps()) continue;
    Held& held = held_[kind];
    if (splits != splits_ && held.lock_head > rule.sinks()) UnlockBehindSinks(kind);
    const int page_size = cache_->page_size();
    const auto keep = static_cast<int32_t>(rule.NeedsFrom(resume) / page_size);
    if (keep <= held.given_back && held.lock_from >= shared_) continue;
    UnlockBelow(kind, rule.NeedsFrom(next));
    // No fence: what plans in flight compute lies at `next` or later, and sees none of these.
    const auto sinks = static_cast<int32_t>((rule.sinks() + page_size - 1) / page_size);
    const auto own = static_cast<int32_t>(shared_ / page_size);
    const int32_t end = std::min(keep, static_cast<int32_t>(held.pages.size()));
    for (int32_t i = std::max({held.given_back, own, sinks}); i < end; ++i) {
      if (held.pages[i] == kNoPage) continue;
      cache_->pools_[kind].Give(std::exchange(held.pages[i], kNoPage));
      --cache_->own_[kind];
    }
    held.given_back = std::max(held.given_back, end);
  }
}

bool CacheLease::Tighten(Position next) {
  PrefixTree& tree = cache_->tree_;
  const Position page_size = cache_->page_size();
  for (KindId kind = 0; kind < cache_->kinds(); ++kind) {
    const CacheKind& rule = cache_->kind(kind);
    if (!rule.paged() || !rule.may_have_gaps()) continue;
    const Position need = rule.NeedsFrom(next) / page_size * page_size;
    const Position head = (rule.sinks() + page_size - 1) / page_size * page_size;
    if (need <= head) continue;
    for (NodeId id = node_; tree.node(id).parent != kNoNode; id = tree.node(id).parent) {
      if (!Locks(held_[kind], tree.node(id))) continue;
      for (const Position cut : {need, head}) {
        const Node& node = tree.node(id);
        if (cut <= node.begin || cut >= node.end()) continue;
        tree.Split(id, static_cast<uint32_t>(cut - node.begin));
      }
    }
  }
  // Also where another lease of the same nodes has cut them.
  if (tree.splits() == splits_) return false;
  Advance(next);
  return true;
}

// Lets go of the nodes of the path that end at `need` or before, but for the sinks.
void CacheLease::UnlockBelow(KindId kind, Position need) {
  PrefixTree& tree = cache_->tree_;
  Held& held = held_[kind];
  if (need <= held.lock_from) return;
  Position from = shared_;
  for (NodeId id = node_; tree.node(id).parent != kNoNode; id = tree.node(id).parent) {
    const Node& node = tree.node(id);
    if (node.end() <= held.lock_from) break;
    if (node.end() > need) {
      from = node.begin;
    } else if (node.begin >= held.lock_head) {
      tree.Unlock(id, kind);
    }
  }
  held.lock_from = from;
}

// Lets go of the nodes that were locked as a part of one in which the sinks lie, before it was
// split.
void CacheLease::UnlockBehindSinks(KindId kind) {
  PrefixTree& tree = cache_->tree_;
  Held& held = held_[kind];
  Position head = 0;
  for (NodeId id = node_; tree.node(id).parent != kNoNode; id = tree.node(id).parent) {
    const Node& node = tree.node(id);
    if (node.begin >= held.lock_head) continue;
    if (node.begin < cache_->kind(kind).sinks()) {
      head = std::max(head, node.end());
    } else if (node.end() <= held.lock_from) {
      tree.Unlock(id, kind);
    }
  }
  held.lock_head = head;
}

Status CacheLease::CheckNeeds(Position next) const {
  const PrefixTree& tree = cache_->tree_;
  for (KindId kind = 0; kind < cache_->kinds(); ++kind) {
    const CacheKind& rule = cache_->kind(kind);
    if (!rule.paged()) continue;
    for (NodeId id = node_; tree.node(id).parent != kNoNode; id = tree.node(id).parent) {
      const Node& node = tree.node(id);
      const bool needed = node.end() > rule.NeedsFrom(next) || node.begin < rule.sinks();
      const bool locks = Locks(held_[kind], node);
      if (needed == locks || (locks && splits_ != tree.splits())) continue;
      return Internal("kind {}: [{}, {}) is {}, though queries from {} on {} it", kind, node.begin,
                      node.end(), needed ? "not locked" : "locked", next,
                      needed ? "read" : "do not read");
    }
  }
  return OkStatus();
}

void CacheLease::Release() {
  if (cache_ == nullptr) return;
  PrefixTree& tree = cache_->tree_;
  ForEachOwn([this](KindId kind, PageId page) {
    cache_->pools_[kind].Give(page);
    --cache_->own_[kind];
  });
  for (KindId kind : cache_->state_kinds()) {
    if (held_[kind].source != kNoNode) tree.Unlock(held_[kind].source, kind);
  }
  for (NodeId id = node_; tree.node(id).parent != kNoNode; id = tree.node(id).parent) {
    for (KindId kind = 0; kind < cache_->kinds(); ++kind) {
      if (cache_->kind(kind).paged() && Locks(held_[kind], tree.node(id))) tree.Unlock(id, kind);
    }
  }
  tree.Unpin(node_);
  cache_->leases_.erase(this);
  cache_ = nullptr;
  held_.clear();
  saved_.clear();
}

}  // namespace banyan
