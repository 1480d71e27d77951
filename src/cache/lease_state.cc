// SPDX-License-Identifier: Apache-2.0
// The part of a lease that is about state: its own slot, the copy it begins as, snapshots.
#include <utility>

#include "base/check.h"
#include "cache/lease.h"
#include "cache/prefix_cache.h"

namespace banyan {

// Whether each state kind has its slot or can have one: a free one, that of a checkpoint nobody
// holds, or that of the checkpoint matched itself, when only this lease holds it. So a pool of one
// slot is enough to go on.
bool CacheLease::StatesReservable() const {
  for (KindId kind : cache_->state_kinds()) {
    const Held& held = held_[kind];
    if (!held.pages.empty() || cache_->Available(kind) > 0) continue;
    if (held.source == kNoNode || cache_->tree_.slot(held.source, kind).locks > 1) return false;
  }
  return true;
}

void CacheLease::ReserveStates(std::vector<PageChange>* changes) {
  PrefixTree& tree = cache_->tree_;
  for (KindId kind : cache_->state_kinds()) {
    Held& held = held_[kind];
    if (!held.pages.empty()) continue;
    if (cache_->MakeRoom(kind, 1)) {
      held.pages.push_back(cache_->pools_[kind].Take());
    } else {
      held.pages.push_back(tree.TakeState(held.source, kind));
      tree.Unlock(std::exchange(held.source, kNoNode), kind);
      held.copy = false;
    }
    ++cache_->own_[kind];
    changes->push_back({kind, 0, held.pages[0]});
  }
}

std::vector<CacheLease::StateCopy> CacheLease::TakeCopies() {
  std::vector<StateCopy> copies;
  for (KindId kind : cache_->state_kinds()) {
    Held& held = held_[kind];
    if (!held.copy || held.pages.empty()) continue;
    held.copy = false;
    copies.push_back({kind, cache_->tree_.slot(held.source, kind).pages.data()[0], held.pages[0]});
  }
  return copies;
}

void CacheLease::CopiesEnded() {
  for (KindId kind : cache_->state_kinds()) {
    Held& held = held_[kind];
    if (held.source == kNoNode || held.copy) continue;
    cache_->tree_.Unlock(std::exchange(held.source, kNoNode), kind);
  }
}

std::vector<PageChange> CacheLease::Snapshot(Position position, bool rolling) {
  Saved* saved = nullptr;
  for (Saved& earlier : saved_) {
    if (rolling && earlier.rolling) saved = &earlier;
  }
  if (saved != nullptr) {
    // Plans run in order, so what the later one writes holds.
    saved->position = position;
  } else {
    for (KindId kind : cache_->state_kinds()) {
      if (cache_->Available(kind) == 0 || cache_->config_.disabled) return {};
    }
    saved_.push_back({.position = position, .rolling = rolling});
    saved = &saved_.back();
    for (KindId kind : cache_->state_kinds()) {
      BANYAN_CHECK(cache_->MakeRoom(kind, 1));
      saved->slots.push_back(cache_->pools_[kind].Take());
      ++cache_->own_[kind];
    }
  }
  std::vector<PageChange> slots;
  for (size_t i = 0; i < saved->slots.size(); ++i) {
    slots.push_back({cache_->state_kinds()[i], 0, saved->slots[i]});
  }
  return slots;
}

void CacheLease::Settle(Position position) {
  if (cache_->state_kinds().empty() || position % cache_->page_size() != 0) return;
  Saved saved = {.position = position};
  for (KindId kind : cache_->state_kinds()) {
    if (held_[kind].pages.empty()) return;
  }
  for (KindId kind : cache_->state_kinds()) {
    saved.slots.push_back(held_[kind].pages[0]);
    held_[kind].pages.clear();
  }
  saved_.push_back(std::move(saved));
}

// At the end of the path, which has just come to the snapshot's position.
void CacheLease::PublishState(const Saved& saved) {
  PrefixTree& tree = cache_->tree_;
  for (size_t i = 0; i < saved.slots.size(); ++i) {
    const KindId kind = cache_->state_kinds()[i];
    if (tree.slot(node_, kind).pages) {
      cache_->GiveFenced(kind, saved.slots[i]);
    } else {
      tree.Fill(node_, kind, &saved.slots[i], 1);
    }
    --cache_->own_[kind];
  }
}

void CacheLease::Drop(const Saved& saved) {
  for (size_t i = 0; i < saved.slots.size(); ++i) {
    const KindId kind = cache_->state_kinds()[i];
    cache_->GiveFenced(kind, saved.slots[i]);
    --cache_->own_[kind];
  }
}

}  // namespace banyan
