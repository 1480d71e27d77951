// SPDX-License-Identifier: Apache-2.0
// CacheKind: which entries a group of layers must still have so that a request may go on from a
// position. Pure values: no pages, no locks. One object per CacheGroupSpec (a window of 1,024 and
// one of 128 are two). docs/design.md section 5; positions are 0-based, ranges half open.
#pragma once

#include <cstdint>
#include <memory>

#include "cache/cache_spec.h"

namespace banyan {

// What of one node of the tree (or a part of it that ends at `end`) is there for one kind.
struct Presence {
  Position begin = 0;         // first position of the node
  Position end = 0;           // the position asked for, in (begin, end of the node]
  Position present_from = 0;  // entries [present_from, end) are there without a gap; `end`: none
  bool head_present = false;  // entries [0, sinks) are there
  bool checkpoint = false;    // a state checkpoint lies at exactly `end`
};

class CacheKind {
 public:
  static constexpr Position kNowhere = -1;

  // While a request grows it keeps what another would read that goes on from its text: from the
  // last border of a page, an earlier one where a stop string is found late, by kLateStop tokens at
  // most, or where there is state from the last checkpoint but one. So far back that may be, at
  // most; checkpoint_interval 0: no state.
  static constexpr Position kLateStop = 8;
  static Position ResumeSlack(int page_size, int checkpoint_interval);

  static std::unique_ptr<CacheKind> Create(const CacheGroupSpec& spec, int page_size,
                                           Position resume_slack);
  virtual ~CacheKind() = default;

  // False for state: one slot per sequence and per checkpoint instead of pages of entries.
  virtual bool paged() const { return true; }
  // A query at position p or later reads the entries [0, sinks()) and [NeedsFrom(p), p), nothing
  // else of what lies before p. Never decreases with p.
  virtual Position NeedsFrom(Position p) const = 0;
  virtual Position sinks() const { return 0; }
  // The deepest q in (begin, end] at which a request may resume, a multiple of the page size when
  // `end` is; kNowhere if there is none in this node.
  virtual Position Resume(const Presence& presence) const = 0;
  // How many pages a sequence of `length` positions holds at most when it grows by up to `chunk`
  // positions a step.
  virtual int64_t PagesHeld(Position length, Position chunk) const = 0;
  // False where entries of the whole prefix are needed, so that only leaves can be evicted.
  virtual bool may_have_gaps() const { return true; }
};

std::unique_ptr<CacheKind> MakeFullKind(int page_size);  // also latent
std::unique_ptr<CacheKind> MakeWindowKind(int page_size, Position slack, int window, int sinks);
std::unique_ptr<CacheKind> MakeChunkedLocalKind(int page_size, Position slack, int chunk);
std::unique_ptr<CacheKind> MakeStateKind();

}  // namespace banyan
