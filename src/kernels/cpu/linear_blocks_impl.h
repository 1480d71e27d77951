// SPDX-License-Identifier: Apache-2.0
// Products with packed blocks, written once for every level. V is a level's vector of kLanes (8 or
// 16) 32-bit lanes, in that file's anonymous namespace, so that all of this has internal linkage
// there; linear_kernels.h describes the operands, ops/reference/linear.h the arithmetic.
//
// Few tokens (decode): a block is unpacked into registers and used at once; memory is the limit.
// Many tokens: groups are unpacked into a panel of bytes and f32 scales that stays in cache, and
// every tile of tokens is multiplied with it; the arithmetic is the limit. Both add the same
// terms in the same order.
#pragma once

#include <cstdint>

#include "kernels/cpu/linear_kernels.h"

namespace banyan::kernels {

// ops::BlockFormat and BlockLayout as constants.
template <DType kType>
struct BlockTraits;
template <int kBitsV, bool kHasOffsetV, bool kHasMinV, bool kSuperV, int kScaleElementsV>
struct BlockTraitsBase {
  static constexpr int kBits = kBitsV;
  static constexpr bool kHasOffset = kHasOffsetV;
  static constexpr bool kHasMin = kHasMinV;
  static constexpr bool kSuper = kSuperV;
  static constexpr int kScaleElements = kScaleElementsV;
  static constexpr int kScalesPerBlock = 32 / kScaleElements;
  static constexpr int kOffset = 1 << (kBits - 1);  // where it has one
  static constexpr int kCodeBytes = kBits * 64;
  static constexpr int kUnitBlocks = kSuper ? 8 : 1;
  static constexpr bool kTwoInByte = kSuper && kHasMin && kScaleElements == 16;  // Q2_K
  static constexpr int kHalvesBytes = kHasMin ? 64 : 32;
  static constexpr int kSmallBytes = 8 * kScalesPerBlock * 16;  // one array of small scales
  static constexpr int kScaleBytes =
      kHalvesBytes + (kSuper ? kSmallBytes * (kHasMin && !kTwoInByte ? 2 : 1) : 0);

  static constexpr int64_t GroupBytes(int64_t blocks) {
    return (blocks * kCodeBytes + blocks / kUnitBlocks * kScaleBytes + 63) / 64 * 64;
  }
};
template <>
struct BlockTraits<DType::kQ4_0> : BlockTraitsBase<4, true, false, false, 32> {};
template <>
struct BlockTraits<DType::kQ4_1> : BlockTraitsBase<4, false, true, false, 32> {};
template <>
struct BlockTraits<DType::kQ5_0> : BlockTraitsBase<5, true, false, false, 32> {};
template <>
struct BlockTraits<DType::kQ5_1> : BlockTraitsBase<5, false, true, false, 32> {};
template <>
struct BlockTraits<DType::kQ8_0> : BlockTraitsBase<8, true, false, false, 32> {};
template <>
struct BlockTraits<DType::kQ2_K> : BlockTraitsBase<2, false, true, true, 16> {};
template <>
struct BlockTraits<DType::kQ3_K> : BlockTraitsBase<3, true, false, true, 16> {};
template <>
struct BlockTraits<DType::kQ4_K> : BlockTraitsBase<4, false, true, true, 32> {};
template <>
struct BlockTraits<DType::kQ5_K> : BlockTraitsBase<5, false, true, true, 32> {};
template <>
struct BlockTraits<DType::kQ6_K> : BlockTraitsBase<6, true, false, true, 16> {};

// What of a format still matters once it is unpacked. Levels whose Dot takes any codes alike fold
// the widths into one (V::kCodeBits), so that fewer kernels are compiled.
template <class V, class T>
using Unpacked = BlockTraitsBase<V::kCodeBits == 0 ? T::kBits : V::kCodeBits, T::kHasOffset,
                                 T::kHasMin, false, T::kScaleElements>;

// Tokens of one tile of QuantizedX, from `codes` etc. on.
struct TileX {
  const int8_t* codes;
  const float* d;
  const int32_t* init;
  const float* sums;
  int width;  // tokens that the tile holds: the distance between blocks
};

// Columns of a panel: one of them and a tile of x stay in the first-level cache.
inline constexpr int64_t kPanelBlocks = 24;
inline constexpr int kPanelGroups = 2;  // that a thread unpacks at a time
inline constexpr int kStreams = 4;      // groups that a thread reads at a time with few tokens

struct alignas(64) Panel {
  uint8_t codes[kPanelBlocks][8][64];
  float scale[2 * kPanelBlocks][kGroupRows];
  float min[2 * kPanelBlocks][kGroupRows];
};

// Blocks [first, first + blocks) of the columns, as many as a panel holds.
struct Segment {
  int64_t first;
  int64_t blocks;
  bool last;
};

template <class V>
struct BlockKernels {
  using I = typename V::I;
  using F = typename V::F;

  static TileX Tile(const QuantizedX& x, int64_t token, int scale_elements) {
    const int64_t t0 = token / V::kTileTokens * V::kTileTokens;
    const int64_t in_tile = token - t0;
    const int64_t blocks = x.cols / 32;
    const int64_t groups = x.cols / scale_elements;
    const int64_t left = x.n - t0;
    return {x.codes + t0 * x.cols + in_tile * 32, x.d + t0 * blocks + in_tile,
            x.init == nullptr ? nullptr : x.init + t0 * groups + in_tile,
            x.sums == nullptr ? nullptr : x.sums + t0 * groups + in_tile,
            static_cast<int>(left < V::kTileTokens ? left : V::kTileTokens)};
  }

  // The same tile, `blocks` blocks further.
  static TileX Advance(const TileX& x, int64_t blocks, int per_block) {
    return {x.codes + blocks * x.width * 32, x.d + blocks * x.width,
            x.init == nullptr ? nullptr : x.init + blocks * per_block * x.width,
            x.sums == nullptr ? nullptr : x.sums + blocks * per_block * x.width, x.width};
  }

  // The lanes' codes of one block, run by run. `codes` is at the first lane's row.
  template <class T>
  static inline __attribute__((always_inline)) void Unpack(const uint8_t* codes, I* w) {
    if constexpr (T::kBits == 8) {
      for (int g = 0; g < 8; ++g) w[g] = V::Load(codes + 64 * g);
      return;
    }
    if constexpr (T::kBits >= 4) {
      for (int j = 0; j < 4; ++j) {
        const I v = V::Load(codes + 64 * j);
        w[j] = V::And(v, V::Bytes(15));
        w[j + 4] = V::And(V::template Right<4>(v), V::Bytes(15));
      }
    }
    if constexpr (T::kBits == 2 || T::kBits == 3) Two<false, 0>(codes, w);
    if constexpr (T::kBits == 3) One<2>(codes + 128, w);
    if constexpr (T::kBits == 5) One<4>(codes + 256, w);
    if constexpr (T::kBits == 6) Two<true, 4>(codes + 256, w);
  }

  // Two bits of each code, to bit kTo; kAdd: beside what w holds.
  template <bool kAdd, int kTo>
  static inline __attribute__((always_inline)) void Two(const uint8_t* plane, I* w) {
    for (int j = 0; j < 2; ++j) {
      const I v = V::Load(plane + 64 * j);
      Put<kAdd, 3, kTo, 0>(v, w[4 * j]);
      Put<kAdd, 3, kTo, 2>(v, w[4 * j + 1]);
      Put<kAdd, 3, kTo, 4>(v, w[4 * j + 2]);
      Put<kAdd, 3, kTo, 6>(v, w[4 * j + 3]);
    }
  }

  // One bit of each code, to bit kTo.
  template <int kTo>
  static inline __attribute__((always_inline)) void One(const uint8_t* plane, I* w) {
    const I v = V::Load(plane);
    Put<true, 1, kTo, 0>(v, w[0]);
    Put<true, 1, kTo, 1>(v, w[1]);
    Put<true, 1, kTo, 2>(v, w[2]);
    Put<true, 1, kTo, 3>(v, w[3]);
    Put<true, 1, kTo, 4>(v, w[4]);
    Put<true, 1, kTo, 5>(v, w[5]);
    Put<true, 1, kTo, 6>(v, w[6]);
    Put<true, 1, kTo, 7>(v, w[7]);
  }

  // Moves the bits `kMask << kFrom` of each byte of v to kTo. Shifts are of wider lanes; the mask
  // drops what came over from the neighbour byte.
  template <bool kAdd, int kMask, int kTo, int kFrom>
  static inline __attribute__((always_inline)) void Put(I v, I& w) {
    if constexpr (kTo > kFrom) v = V::template Left<kTo - kFrom>(v);
    if constexpr (kTo < kFrom) v = V::template Right<kFrom - kTo>(v);
    const I mask = V::Bytes(kMask << kTo);
    w = kAdd ? V::OrAnd(w, v, mask) : V::And(v, mask);
  }

  // Scales and mins of block b. `scales` is the group's; `lane` the first row.
  template <class T>
  static inline __attribute__((always_inline)) void Scales(const uint8_t* scales, int64_t b,
                                                           int lane, F* scale, F* min) {
    const uint8_t* unit = scales + b / T::kUnitBlocks * T::kScaleBytes;
    const F d = V::LoadHalves(unit + 2 * lane);
    [[maybe_unused]] F m{};
    if constexpr (T::kHasMin) m = V::LoadHalves(unit + 32 + 2 * lane);
    if constexpr (!T::kSuper) {
      scale[0] = d;
      min[0] = m;
      return;
    }
    for (int i = 0; i < T::kScalesPerBlock; ++i) {
      const int64_t s = b % 8 * T::kScalesPerBlock + i;
      const uint8_t* small = unit + T::kHalvesBytes + s * 16 + lane;
      if constexpr (T::kTwoInByte) {
        const I both = V::LoadU8(small);
        scale[i] = V::Mul(d, V::Convert(V::And(both, V::Set1(15))));
        min[i] = V::Negate(V::Mul(m, V::Convert(V::template Right32<4>(both))));
      } else {
        scale[i] = V::Mul(d, V::Convert(V::LoadI8(small)));
        if constexpr (T::kHasMin) {
          min[i] = V::Negate(V::Mul(m, V::Convert(V::LoadU8(small + T::kSmallBytes))));
        }
      }
    }
  }

  // acc[t] after block b of x, for tokens [0, N). codes(run) is a vector of codes, scale(i) and
  // min(i) those of the block's scale group i.
  template <class T, int N, class Codes, class ScaleOf, class MinOf>
  static inline __attribute__((always_inline)) void AddBlock(const Codes& codes,
                                                             const ScaleOf& scale, const MinOf& min,
                                                             const TileX& x, int64_t b, F* acc) {
    constexpr int kRuns = 8 / T::kScalesPerBlock;
    const int8_t* tokens = x.codes + b * x.width * 32;
    const float* d = x.d + b * x.width;
    BANYAN_UNROLL
    for (int i = 0; i < T::kScalesPerBlock; ++i) {
      const int64_t s = (b * T::kScalesPerBlock + i) * x.width;
      I sum[N];
      BANYAN_UNROLL
      for (int t = 0; t < N; ++t) {
        sum[t] = V::ZeroI();
        if constexpr (T::kHasOffset && !(T::kBits == 8 && V::kSignedBytes)) {
          sum[t] = V::Set1(x.init[s + t]);
        }
      }
      V::template Dot<kRuns, T::kBits, N>([&](int run) { return codes(i * kRuns + run); },
                                          tokens + 4 * kRuns * i, sum);
      const F w = scale(i);
      BANYAN_UNROLL
      for (int t = 0; t < N; ++t) {
        acc[t] = V::Fma(V::Mul(V::Convert(sum[t]), w), V::Set1(d[t]), acc[t]);
      }
      if constexpr (T::kHasMin) {
        const F m = min(i);
        BANYAN_UNROLL
        for (int t = 0; t < N; ++t) acc[t] = V::Fma(m, V::Set1(x.sums[s + t]), acc[t]);
      }
    }
  }

  static int Count(const BlockProduct& p, int64_t row) {
    const int64_t left = p.rows - row;
    return left < 0 ? 0 : left < V::kLanes ? static_cast<int>(left) : V::kLanes;
  }
  static inline __attribute__((always_inline)) F Partial(const BlockProduct& p, int64_t row,
                                                         int64_t token) {
    return V::LoadSome(p.out + token * p.out_stride + row, Count(p, row));
  }
  static inline __attribute__((always_inline)) void StorePartial(const BlockProduct& p, int64_t row,
                                                                 int64_t token, F acc) {
    V::StoreSome(p.out + token * p.out_stride + row, acc, Count(p, row));
  }
  static inline __attribute__((always_inline)) void Finish(const BlockProduct& p, int64_t row,
                                                           int64_t token, F acc) {
    if (p.bias != nullptr) acc = V::Add(acc, V::LoadSome(p.bias + row, Count(p, row)));
    StorePartial(p, row, token, acc);
  }

  // Asks for what a block of 32 columns takes of a group, the group's scales shared out evenly.
  template <class T>
  static inline __attribute__((always_inline)) void PrefetchBlock(const uint8_t* group, int64_t b) {
    constexpr int kLines =
        (T::kCodeBytes + (T::kScaleBytes + T::kUnitBlocks - 1) / T::kUnitBlocks + 63) / 64;
    BANYAN_UNROLL
    for (int i = 0; i < kLines; ++i) __builtin_prefetch(group + (b * kLines + i) * 64);
  }

  // N tokens times groups [g, g + kStreams), straight from the packed form; groups from `end` on
  // are the last one again. Several groups are read at a time and those of the next turn asked for,
  // since one stream of reads leaves half of a core's bandwidth unused.
  template <class T, int N>
  static __attribute__((noinline)) void Direct(const BlockProduct& p, int64_t g, int64_t end,
                                               int64_t token) {
    constexpr int kAtOnce = N == 1 ? 4 : N <= 4 ? 2 : 1;
    static_assert(kStreams % kAtOnce == 0);
    const int64_t blocks = p.x.cols / 32;
    const TileX x = Tile(p.x, token, T::kScaleElements);
    const int64_t all = (p.rows + kGroupRows - 1) / kGroupRows;
    const auto at = [&](int64_t index, int64_t limit) {
      return p.packed + (index < limit ? index : limit - 1) * T::GroupBytes(blocks);
    };
    for (const int64_t stop = g + kStreams; g < stop && g < end; g += kAtOnce) {
      const uint8_t* groups[kAtOnce];
      const uint8_t* ahead[kAtOnce];
      for (int i = 0; i < kAtOnce; ++i) {
        groups[i] = at(g + i, end);
        ahead[i] = at(g + i + kStreams, all);
      }
      for (int lane = 0; lane < kGroupRows; lane += V::kLanes) {
        F acc[kAtOnce][N];
        BANYAN_UNROLL
        for (int i = 0; i < kAtOnce; ++i) {
          BANYAN_UNROLL
          for (int t = 0; t < N; ++t) acc[i][t] = V::Zero();
        }
        for (int64_t b = 0; b < blocks; ++b) {
          BANYAN_UNROLL
          for (int i = 0; i < kAtOnce; ++i) {
            if (lane == 0) PrefetchBlock<T>(ahead[i], b);
            I w[8];
            F scale[2];
            F min[2];
            Unpack<T>(groups[i] + b * T::kCodeBytes + 4 * lane, w);
            Scales<T>(groups[i] + blocks * T::kCodeBytes, b, lane, scale, min);
            AddBlock<T, N>([&](int run) { return w[run]; }, [&](int s) { return scale[s]; },
                           [&](int s) { return min[s]; }, x, b, acc[i]);
          }
        }
        for (int i = 0; i < kAtOnce && g + i < end; ++i) {
          BANYAN_UNROLL
          for (int t = 0; t < N; ++t) {
            Finish(p, (g + i) * kGroupRows + lane, token + t, acc[i][t]);
          }
        }
      }
    }
  }

  // kSigned: codes with the offset taken off, for products of signed bytes.
  template <class T, bool kSigned>
  static void FillPanel(const uint8_t* group, int64_t all_blocks, const Segment& segment,
                        Panel& panel) {
    const uint8_t* scales = group + all_blocks * T::kCodeBytes;
    for (int lane = 0; lane < kGroupRows; lane += V::kLanes) {
      for (int64_t b = 0; b < segment.blocks; ++b) {
        I w[8];
        F scale[2];
        F min[2];
        Unpack<T>(group + (segment.first + b) * T::kCodeBytes + 4 * lane, w);
        Scales<T>(scales, segment.first + b, lane, scale, min);
        for (int g = 0; g < 8; ++g) {
          if constexpr (kSigned && T::kHasOffset) {
            w[g] = V::SubBytes(w[g], V::Bytes(T::kOffset));
          }
          V::Store(&panel.codes[b][g][4 * lane], w[g]);
        }
        for (int i = 0; i < T::kScalesPerBlock; ++i) {
          V::StoreF(&panel.scale[b * T::kScalesPerBlock + i][lane], scale[i]);
          if constexpr (T::kHasMin) V::StoreF(&panel.min[b * T::kScalesPerBlock + i][lane], min[i]);
        }
      }
    }
  }

  // N tokens times one panel. The first segment of the columns starts from zero, the others go on
  // from what `out` holds, and the last adds the bias.
  template <class T, int N>
  static __attribute__((noinline)) void Multiply(const BlockProduct& p, const Panel& panel,
                                                 const Segment& segment, const TileX& x,
                                                 int64_t row, int64_t token) {
    for (int lane = 0; lane < kGroupRows; lane += V::kLanes) {
      F acc[N];
      BANYAN_UNROLL
      for (int t = 0; t < N; ++t) {
        acc[t] = segment.first == 0 ? V::Zero() : Partial(p, row + lane, token + t);
      }
      for (int64_t b = 0; b < segment.blocks; ++b) {
        const auto* scale = panel.scale + b * T::kScalesPerBlock;
        const auto* min = panel.min + b * T::kScalesPerBlock;
        AddBlock<T, N>([&](int run) { return V::Load(&panel.codes[b][run][4 * lane]); },
                       [&](int i) { return V::LoadF(&scale[i][lane]); },
                       [&](int i) { return V::LoadF(&min[i][lane]); }, x, b, acc);
      }
      BANYAN_UNROLL
      for (int t = 0; t < N; ++t) {
        if (segment.last) {
          Finish(p, row + lane, token + t, acc[t]);
        } else {
          StorePartial(p, row + lane, token + t, acc[t]);
        }
      }
    }
  }

  // One tile of tokens, from `token` on, times one panel.
  template <class T>
  static void MultiplyTokens(const BlockProduct& p, const Panel& panel, const Segment& segment,
                             int64_t row, int64_t token) {
    const int64_t end = p.x.n - token < V::kTileTokens ? p.x.n : token + V::kTileTokens;
    const auto x = [&] {
      return Advance(Tile(p.x, token, T::kScaleElements), segment.first, T::kScalesPerBlock);
    };
    if constexpr (V::kTiles) {
      V::template MultiplyTile<T>(p, panel, segment, x(), row, token);
    } else {
      constexpr int kMost = V::kPanelTokens;
      for (; end - token >= kMost; token += kMost) {
        Multiply<T, kMost>(p, panel, segment, x(), row, token);
      }
      if constexpr (kMost > 8) {
        for (; end - token >= 8; token += 8) Multiply<T, 8>(p, panel, segment, x(), row, token);
      }
      if constexpr (kMost > 4) {
        for (; end - token >= 4; token += 4) Multiply<T, 4>(p, panel, segment, x(), row, token);
      }
      for (; end - token >= 2; token += 2) Multiply<T, 2>(p, panel, segment, x(), row, token);
      if (end - token >= 1) Multiply<T, 1>(p, panel, segment, x(), row, token);
    }
  }

  template <class T>
  static void Panels(const BlockProduct& p, int64_t begin, int64_t end) {
    const int64_t blocks = p.x.cols / 32;
    Panel panels[kPanelGroups];
    if constexpr (V::kTiles) V::template BeginTiles<T::kScaleElements>();
    for (int64_t g = begin; g < end; g += kPanelGroups) {
      const int64_t groups = end - g < kPanelGroups ? end - g : kPanelGroups;
      for (int64_t first = 0; first < blocks; first += kPanelBlocks) {
        const int64_t left = blocks - first;
        const Segment segment{first, left < kPanelBlocks ? left : kPanelBlocks,
                              left <= kPanelBlocks};
        for (int64_t i = 0; i < groups; ++i) {
          FillPanel<T, V::kTiles>(p.packed + (g + i) * T::GroupBytes(blocks), blocks, segment,
                                  panels[i]);
        }
        for (int64_t token = 0; token < p.x.n; token += V::kTileTokens) {
          for (int64_t i = 0; i < groups; ++i) {
            MultiplyTokens<Unpacked<V, T>>(p, panels[i], segment, (g + i) * kGroupRows, token);
          }
        }
      }
    }
    if constexpr (V::kTiles) V::EndTiles();
  }

  template <class T>
  static void Groups(const BlockProduct& p, int64_t begin, int64_t end) {
    if (p.x.n > V::kDirectTokens) return Panels<T>(p, begin, end);
    for (int64_t g = begin; g < end; g += kStreams) {
      int64_t token = 0;
      if constexpr (V::kDirectTokens >= 8) {
        for (; p.x.n - token >= 8; token += 8) Direct<T, 8>(p, g, end, token);
      }
      for (; p.x.n - token >= 4; token += 4) Direct<T, 4>(p, g, end, token);
      for (; p.x.n - token >= 2; token += 2) Direct<T, 2>(p, g, end, token);
      if (p.x.n - token >= 1) Direct<T, 1>(p, g, end, token);
    }
  }

  // Calls fn with the format's BlockTraits.
  template <class Fn>
  static void WithTraits(DType format, const Fn& fn) {
    switch (format) {
      case DType::kQ4_0:
        return fn(BlockTraits<DType::kQ4_0>{});
      case DType::kQ4_1:
        return fn(BlockTraits<DType::kQ4_1>{});
      case DType::kQ5_0:
        return fn(BlockTraits<DType::kQ5_0>{});
      case DType::kQ5_1:
        return fn(BlockTraits<DType::kQ5_1>{});
      case DType::kQ8_0:
        return fn(BlockTraits<DType::kQ8_0>{});
      case DType::kQ2_K:
        return fn(BlockTraits<DType::kQ2_K>{});
      case DType::kQ3_K:
        return fn(BlockTraits<DType::kQ3_K>{});
      case DType::kQ4_K:
        return fn(BlockTraits<DType::kQ4_K>{});
      case DType::kQ5_K:
        return fn(BlockTraits<DType::kQ5_K>{});
      default:
        return fn(BlockTraits<DType::kQ6_K>{});
    }
  }

  static void Run(const BlockProduct& p, int64_t begin, int64_t end) {
    WithTraits(p.format, [&](auto traits) { Groups<decltype(traits)>(p, begin, end); });
  }

  static void Quantize(const float* x, int64_t x_stride, DType format, const QuantizedX& to,
                       int64_t begin, int64_t end) {
    int per_block = 1;
    int32_t offset = 0;
    WithTraits(format, [&](auto traits) {
      using T = decltype(traits);
      per_block = T::kScalesPerBlock;
      offset = T::kHasOffset ? T::kOffset : 0;
    });
    for (int64_t token = begin; token < end; ++token) {
      const TileX tile = Tile(to, token, 32 / per_block);
      const float* row = x + token * x_stride;
      for (int64_t b = 0; b < to.cols / 32; ++b) {
        int32_t sums[2];
        const int64_t at = b * tile.width;
        auto* d = const_cast<float*>(tile.d) + at;
        *d = V::QuantizeBlock(row + 32 * b, const_cast<int8_t*>(tile.codes) + 32 * at, sums);
        if (per_block == 1) sums[0] += sums[1];
        for (int i = 0; i < per_block; ++i) {
          const int64_t s = (b * per_block + i) * tile.width;
          if (to.init != nullptr) const_cast<int32_t*>(tile.init)[s] = -offset * sums[i];
          if (to.sums != nullptr) {
            const_cast<float*>(tile.sums)[s] = *d * static_cast<float>(sums[i]);
          }
        }
      }
    }
  }
};

}  // namespace banyan::kernels
