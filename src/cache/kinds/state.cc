// SPDX-License-Identifier: Apache-2.0
#include "cache/kinds/kind.h"

namespace banyan {
namespace {

// A recurrence: all of the past is in one slot, and a request resumes only where a copy was kept.
class StateKind : public CacheKind {
 public:
  bool paged() const override { return false; }
  Position NeedsFrom(Position p) const override { return p; }
  Position Resume(const Presence& presence) const override {
    return presence.checkpoint ? presence.end : kNowhere;
  }
  int64_t PagesHeld(Position, Position) const override { return 1; }
};

}  // namespace

std::unique_ptr<CacheKind> MakeStateKind() { return std::make_unique<StateKind>(); }

}  // namespace banyan
