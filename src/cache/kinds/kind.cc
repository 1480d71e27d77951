// SPDX-License-Identifier: Apache-2.0
#include "cache/kinds/kind.h"

#include "base/check.h"

namespace banyan {

std::unique_ptr<CacheKind> CacheKind::Create(const CacheGroupSpec& spec, int page_size) {
  switch (spec.type) {
    case CacheKindType::kFull:
    case CacheKindType::kLatent:  // other bytes, the same life
      return MakeFullKind(page_size);
    case CacheKindType::kWindow:
      return MakeWindowKind(page_size, spec.window, spec.sinks);
    case CacheKindType::kChunkedLocal:
      return MakeChunkedLocalKind(page_size, spec.window);
    case CacheKindType::kState:
      return MakeStateKind();
  }
  BANYAN_CHECK(false, "cache kind {}", static_cast<int>(spec.type));
}

}  // namespace banyan
