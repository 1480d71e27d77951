// SPDX-License-Identifier: Apache-2.0
#include "cache/kinds/kind.h"

namespace banyan {
namespace {

// Every query reads the whole prefix.
class FullKind : public CacheKind {
 public:
  explicit FullKind(int page_size) : page_size_(page_size) {}

  Position NeedsFrom(Position) const override { return 0; }
  Position Resume(const Presence& presence) const override {
    return presence.present_from == 0 ? presence.end : kNowhere;
  }
  int64_t PagesHeld(Position length, Position) const override {
    return (length + page_size_ - 1) / page_size_;
  }
  bool may_have_gaps() const override { return false; }

 private:
  const int page_size_;
};

}  // namespace

std::unique_ptr<CacheKind> MakeFullKind(int page_size) {
  return std::make_unique<FullKind>(page_size);
}

}  // namespace banyan
