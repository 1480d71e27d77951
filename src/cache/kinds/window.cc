// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cache/kinds/kind.h"

namespace banyan {
namespace {

// A query at p reads the last `window` positions, its own included, and the first `sinks`.
class WindowKind : public CacheKind {
 public:
  WindowKind(int page_size, Position slack, int window, int sinks)
      : page_size_(page_size), slack_(slack), window_(window), sinks_(sinks) {}

  Position NeedsFrom(Position p) const override { return std::max<Position>(0, p - window_ + 1); }
  Position sinks() const override { return sinks_; }
  Position Resume(const Presence& presence) const override {
    if (presence.present_from == 0) return presence.end;
    const bool in_window = presence.present_from <= NeedsFrom(presence.end);
    return in_window && presence.head_present ? presence.end : kNowhere;
  }
  int64_t PagesHeld(Position length, Position chunk) const override {
    const auto pages = [this](Position n) { return (n + page_size_ - 1) / page_size_; };
    // The window and the chunk may both begin in the middle of a page.
    return std::min(pages(length), pages(sinks_) + pages(window_ + slack_ + chunk) + 1);
  }

 private:
  const int page_size_;
  const Position slack_, window_, sinks_;
};

// A query at p reads the positions of its own chunk only (chunked local attention of Llama 4).
class ChunkedLocalKind : public CacheKind {
 public:
  ChunkedLocalKind(int page_size, Position slack, int chunk)
      : page_size_(page_size), slack_(slack), chunk_(chunk) {
    step_ = chunk_;
    while (step_ % page_size_ != 0) step_ += chunk_;
  }

  Position NeedsFrom(Position p) const override { return p / chunk_ * chunk_; }
  Position Resume(const Presence& presence) const override {
    if (presence.present_from <= NeedsFrom(presence.end)) return presence.end;
    // Where a chunk begins nothing of the past is needed.
    const Position fresh = presence.end / step_ * step_;
    return fresh > presence.begin ? fresh : kNowhere;
  }
  int64_t PagesHeld(Position length, Position chunk) const override {
    const auto pages = [this](Position n) { return (n + page_size_ - 1) / page_size_; };
    return std::min(pages(length), pages(chunk_ + slack_ + chunk) + 1);
  }

 private:
  const int page_size_;
  const Position slack_, chunk_;
  Position step_;  // least common multiple of chunk and page size
};

}  // namespace

std::unique_ptr<CacheKind> MakeWindowKind(int page_size, Position slack, int window, int sinks) {
  return std::make_unique<WindowKind>(page_size, slack, window, sinks);
}

std::unique_ptr<CacheKind> MakeChunkedLocalKind(int page_size, Position slack, int chunk) {
  return std::make_unique<ChunkedLocalKind>(page_size, slack, chunk);
}

}  // namespace banyan
