// SPDX-License-Identifier: Apache-2.0
#include "nn/cache_pools.h"

#include <algorithm>
#include <utility>

namespace banyan::nn {
namespace {

Tensor& Part(LayerCache& layer, SegmentRole role) {
  switch (role) {
    case SegmentRole::kKey:
      return layer.kv.keys;
    case SegmentRole::kValue:
      return layer.kv.values;
    case SegmentRole::kLatent:
      return layer.latent;
    case SegmentRole::kIndex:
      return layer.index;
    case SegmentRole::kConv:
      return layer.conv;
    case SegmentRole::kState:
      return layer.state;
    case SegmentRole::kScale:
      break;
  }
  BANYAN_CHECK(false, "no layer keeps scales");
}

}  // namespace

StatusOr<CachePools> CachePools::Allocate(Backend& backend, std::span<const CacheGroupSpec> groups,
                                          std::span<const int64_t> pages_per_group, int page_size) {
  CachePools out;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const CacheGroupSpec& group = groups[g];
    CachePool pool;
    pool.page_size = page_size;
    int layers = 0;
    for (const CacheSegment& segment : group.segments) layers = std::max(layers, segment.layer + 1);
    pool.layers.resize(layers);
    const int64_t pages = pages_per_group[g] + 1;
    for (const CacheSegment& segment : group.segments) {
      if (segment.alias_layer >= 0) continue;
      const Shape shape = group.type == CacheKindType::kState
                              ? Shape{pages, segment.heads, segment.dim}
                              : Shape{pages, page_size, segment.heads, segment.dim};
      const int64_t bytes = Bytes(segment.dtype, shape.NumElements());
      BANYAN_ASSIGN_OR_RETURN(
          Buffer memory, backend.Allocate(bytes, fmt::format("the {} cache of layer {}", group.name,
                                                             segment.layer)));
      Part(pool.layers[segment.layer], segment.role) = Tensor(memory.data(), segment.dtype, shape);
      out.bytes_ += bytes;
      out.memory_.push_back(std::move(memory));
    }
    for (const CacheSegment& segment : group.segments) {
      if (segment.alias_layer >= 0)
        Part(pool.layers[segment.layer], segment.role) =
            Part(pool.layers[segment.alias_layer], segment.role);
    }
    out.pools_.push_back(std::move(pool));
  }
  return out;
}

void CachePools::CopySlot(Backend& backend, KindId group, PageId from, PageId to) const {
  for (const LayerCache& layer : pools_[group].layers) {
    for (const Tensor* part : {&layer.conv, &layer.state}) {
      if (part->empty()) continue;
      const Tensor source = part->Slice(0, from, from + 1), target = part->Slice(0, to, to + 1);
      backend.Copy(target.raw(), source.raw(), static_cast<std::size_t>(source.NumBytes()));
    }
  }
}

}  // namespace banyan::nn
