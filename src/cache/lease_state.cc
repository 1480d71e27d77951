// SPDX-License-Identifier: Apache-2.0
// The part of a lease that is about state: its own slot, the copy it begins as, snapshots.
#include <algorithm>
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
  if (cache_->config_.disabled) return {};
  // Of the rolling ones two are kept: the text may yet end before the later one, which a plan in
  // flight writes, or which lies behind a stop string.
  const auto is_rolling = [](const Saved& saved) { return saved.rolling; };
  const auto earliest = std::find_if(saved_.begin(), saved_.end(), is_rolling);
  const auto count = std::count_if(saved_.begin(), saved_.end(), is_rolling);
  const auto all_kinds = [this](auto holds) {
    return std::all_of(cache_->state_kinds().begin(), cache_->state_kinds().end(), holds);
  };
  const bool room = all_kinds([this](KindId kind) { return cache_->Available(kind) > 0; });
  // The second is for the one end in many that falls so: not worth a slot that requests wait for.
  const bool plenty = all_kinds([this](KindId kind) {
    return 2 * cache_->Available(kind) > cache_->config_.pages_per_group[kind];
  });
  if (rolling && count > 0 && (count > 1 || !plenty)) {
    // Plans run in order, so what the later one writes holds.
    earliest->position = position;
    std::rotate(earliest, earliest + 1, saved_.end());
  } else {
    if (!room) return {};
    saved_.push_back({.position = position, .rolling = rolling});
    for (KindId kind : cache_->state_kinds()) {
      BANYAN_CHECK(cache_->MakeRoom(kind, 1));
      saved_.back().slots.push_back(cache_->pools_[kind].Take());
      ++cache_->own_[kind];
    }
  }
  std::vector<PageChange> slots;
  for (size_t i = 0; i < saved_.back().slots.size(); ++i) {
    slots.push_back({cache_->state_kinds()[i], 0, saved_.back().slots[i]});
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
