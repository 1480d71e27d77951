// SPDX-License-Identifier: Apache-2.0
// What a model asks of the cache, as plain values: one CacheGroupSpec per group of layers whose
// entries live and die together (all full-attention layers are one group, all layers with a window
// of 512 another). nn/ fills it while the model is declared; cache/kinds turns each into a
// CacheKind; run/ allocates the pools from the segments.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace banyan {

using TokenId = int32_t;
using PageId = int32_t;    // logical page number within one group; page 0 is a dump for padding and
                           // is never handed out
using KindId = int32_t;    // position of a group in the model's list
using Position = int64_t;  // 0-based position of a token in its sequence
inline constexpr PageId kNoPage = -1;

enum class CacheKindType : uint8_t { kFull, kWindow, kChunkedLocal, kState, kLatent };

enum class SegmentRole : uint8_t { kKey, kValue, kLatent, kIndex, kScale, kConv, kState };

// One tensor of the pool: for paged kinds [pages, page_size, heads, dim]; for kState [slots, heads,
// dim].
struct CacheSegment {
  int layer = 0;
  SegmentRole role = SegmentRole::kKey;
  int heads = 0;
  int dim = 0;
  DType dtype = DType::kF32;
  int alias_layer = -1;  // the layer whose memory this one reads instead of having its own, or -1
  int64_t BytesPerToken() const { return Bytes(dtype, int64_t{heads} * dim); }  // or per slot
};

struct CacheGroupSpec {
  CacheKindType type = CacheKindType::kFull;
  int window = 0;  // kWindow: positions visible, the query's own included; kChunkedLocal: the chunk
  int sinks = 0;   // kWindow: first positions that stay visible
  std::vector<CacheSegment> segments;
  std::string name;  // "full", "window 512": for logs, /memory and metrics

  int64_t BytesPerToken() const {
    int64_t bytes = 0;
    for (const CacheSegment& segment : segments)
      bytes += segment.alias_layer < 0 ? segment.BytesPerToken() : 0;
    return bytes;
  }
};

// Models that turn their keys by how long the sequence is (nn/rope.h). A row's rope length is that
// of its prompt (with `recompute`, of its text when it was last begun) where it is beyond the
// limit, else 0; it is part of the name under which its keys are shared, so that with the tokens it
// decides what they hold.
struct RopeLengths {
  int64_t limit = 0;   // tokens, up to which all sequences are turned alike; 0: there is no limit
  bool exact = false;  // each length beyond has keys of its own (dynamic NTK), else all the same
  bool recompute = false;  // a text that grows beyond while decoding is computed anew (Phi 3); else
                           // what it has stays, and only further positions count their own length

  // The rope length of a sequence of `length` tokens.
  int32_t Of(int64_t length) const {
    if (limit == 0 || length <= limit) return 0;
    return static_cast<int32_t>(exact ? length : limit + 1);
  }
};

}  // namespace banyan
