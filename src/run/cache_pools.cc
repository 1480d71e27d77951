// SPDX-License-Identifier: Apache-2.0
#include "run/cache_pools.h"

#include <algorithm>
#include <utility>

namespace banyan {

StatusOr<CachePools> CachePools::Allocate(Backend& backend, std::span<const CacheGroupSpec> groups,
                                          std::span<const int64_t> pages_per_group, int page_size) {
  CachePools out;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const CacheGroupSpec& group = groups[g];
    nn::CachePool pool;
    pool.page_size = page_size;
    const auto layer_of = [&](int layer) -> ops::PagedKv& {
      if (layer >= static_cast<int>(pool.layers.size())) pool.layers.resize(layer + 1);
      return pool.layers[layer];
    };
    const int64_t pages = pages_per_group[g] + 1;
    for (const CacheSegment& segment : group.segments) {
      if (segment.role != SegmentRole::kKey && segment.role != SegmentRole::kValue)
        return Unimplemented("the cache of layer {} (group \"{}\") holds more than keys and values",
                             segment.layer, group.name);
      if (segment.alias_layer >= 0) continue;
      const Shape shape{pages, page_size, segment.heads, segment.dim};
      const int64_t bytes = Bytes(segment.dtype, shape.NumElements());
      BANYAN_ASSIGN_OR_RETURN(
          Buffer memory, backend.Allocate(bytes, fmt::format("the {} cache of layer {}", group.name,
                                                             segment.layer)));
      ops::PagedKv& layer = layer_of(segment.layer);
      (segment.role == SegmentRole::kKey ? layer.keys : layer.values) =
          Tensor(memory.data(), segment.dtype, shape);
      out.bytes_ += bytes;
      out.memory_.push_back(std::move(memory));
    }
    for (const CacheSegment& segment : group.segments) {
      if (segment.alias_layer < 0) continue;
      const ops::PagedKv source = layer_of(segment.alias_layer);
      ops::PagedKv& layer = layer_of(segment.layer);
      if (segment.role == SegmentRole::kKey) {
        layer.keys = source.keys;
      } else {
        layer.values = source.values;
      }
    }
    out.pools_.push_back(std::move(pool));
  }
  return out;
}

}  // namespace banyan
