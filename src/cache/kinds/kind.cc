// SPDX-License-Identifier: Apache-2.0
#include "cache/kinds/kind.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace banyan {

Position CacheKind::ResumeSlack(int page_size, int checkpoint_interval) {
  const Position border = kLateStop + page_size - 1;
  if (checkpoint_interval == 0) return border;
  return std::max(border, 2 * std::lcm<Position>(checkpoint_interval, page_size));
}

std::unique_ptr<CacheKind> CacheKind::Create(const CacheGroupSpec& spec, int page_size,
                                             Position resume_slack) {
  switch (spec.type) {
    case CacheKindType::kFull:
    case CacheKindType::kLatent:  // other bytes, the same life
      return MakeFullKind(page_size);
    case CacheKindType::kWindow:
      return MakeWindowKind(page_size, resume_slack, spec.window, spec.sinks);
    case CacheKindType::kChunkedLocal:
      return MakeChunkedLocalKind(page_size, resume_slack, spec.window);
    case CacheKindType::kState:
      return MakeStateKind();
  }
  BANYAN_CHECK(false, "cache kind {}", static_cast<int>(spec.type));
}

}  // namespace banyan
