// SPDX-License-Identifier: Apache-2.0
// Packed blocks by AMX's tiles of signed bytes: a block of 16 tokens times 16 rows is one tile
// product per scale, whose integers are then scaled as everywhere. Few tokens take the VNNI
// kernels.
#include "kernels/cpu/linear.h"

#include "kernels/cpu/linear_blocks_impl.h"
#include "kernels/cpu/linear_simd_vnni.h"

namespace banyan::kernels {
namespace {

// Tiles 0 and 1 are sums, 4 is x as [token][bytes of k], 6 the panel as [k / 4][row][4].
constexpr int kSums = 2;
constexpr int kX = 4;
constexpr int kWeights = 6;

struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

struct Amx : Vnni {
  static constexpr bool kTiles = true;

  template <int kScaleElements>
  static void BeginTiles() {
    TileConfig config;
    for (int i = 0; i < kSums; ++i) {
      config.row_bytes[i] = 64;
      config.rows[i] = kTileTokens;
    }
    config.row_bytes[kX] = kScaleElements;
    config.rows[kX] = kTileTokens;
    config.row_bytes[kWeights] = 64;
    config.rows[kWeights] = kScaleElements / 4;
    _tile_loadconfig(&config);
  }
  static void EndTiles() { _tile_release(); }

  // Integer sums of scale group g, to `sums` [16 tokens][16 rows].
  template <class T, int kTile>
  static inline __attribute__((always_inline)) void Sums(const Panel& panel, const TileX& x,
                                                         int64_t g, int32_t (*sums)[16]) {
    const int64_t b = g / T::kScalesPerBlock;
    const int64_t part = g % T::kScalesPerBlock;
    // GCC wants the tiles' numbers as literals.
    _tile_loadd(4, x.codes + b * x.width * 32 + part * 16, 32);
    _tile_loadd(6, panel.codes[b][part * 4], 64);
    if constexpr (kTile == 0) {
      _tile_zero(0);
      _tile_dpbssd(0, 4, 6);
      _tile_stored(0, sums, 64);
    } else {
      _tile_zero(1);
      _tile_dpbssd(1, 4, 6);
      _tile_stored(1, sums, 64);
    }
  }

  // acc[t] after scale group g, for `count` tokens.
  template <class T>
  static inline __attribute__((always_inline)) void Scale(const Panel& panel, const TileX& x,
                                                          int64_t g, const int32_t (*sums)[16],
                                                          int count, F* acc) {
    const F scale = LoadF(panel.scale[g]);
    F min{};
    if constexpr (T::kHasMin) min = LoadF(panel.min[g]);
    const float* d = x.d + g / T::kScalesPerBlock * x.width;
    for (int t = 0; t < count; ++t) {
      acc[t] = Fma(Mul(Convert(Load(sums[t])), scale), Set1(d[t]), acc[t]);
      if constexpr (T::kHasMin) acc[t] = Fma(min, Set1(x.sums[g * x.width + t]), acc[t]);
    }
  }

  // The sums of the next group are under way while those of one are scaled.
  template <class T, bool kFull>
  static inline __attribute__((always_inline)) void AddGroups(const Panel& panel, int64_t groups,
                                                              const TileX& x, F* acc) {
    alignas(64) int32_t sums[2][kTileTokens][16];
    const int count = kFull ? kTileTokens : x.width;
    Sums<T, 0>(panel, x, 0, sums[0]);
    for (int64_t g = 0; g < groups; g += 2) {
      if (g + 1 < groups) Sums<T, 1>(panel, x, g + 1, sums[1]);
      Scale<T>(panel, x, g, sums[0], count, acc);
      if (g + 1 == groups) return;
      if (g + 2 < groups) Sums<T, 0>(panel, x, g + 2, sums[0]);
      Scale<T>(panel, x, g + 1, sums[1], count, acc);
    }
  }

  // 16 tokens times one panel. The last tile's missing tokens are read (the driver allocates for
  // it) and not stored.
  template <class T>
  static void MultiplyTile(const BlockProduct& p, const Panel& panel, int64_t blocks,
                           const TileX& x, int64_t row, int64_t token, bool first, bool last) {
    const int64_t left = p.rows - row;
    if (left <= 0) return;
    const __mmask16 rows = First(left < kGroupRows ? static_cast<int>(left) : kGroupRows);
    float* out = p.out + token * p.out_stride + row;
    F acc[kTileTokens];
    for (int t = 0; t < kTileTokens; ++t) {
      acc[t] = first || t >= x.width ? Zero() : _mm512_maskz_loadu_ps(rows, out + t * p.out_stride);
    }
    const int64_t groups = blocks * T::kScalesPerBlock;
    if (x.width == kTileTokens) {
      AddGroups<T, true>(panel, groups, x, acc);
    } else {
      AddGroups<T, false>(panel, groups, x, acc);
    }
    const F bias = last && p.bias != nullptr ? _mm512_maskz_loadu_ps(rows, p.bias + row) : Zero();
    for (int t = 0; t < kTileTokens && t < x.width; ++t) {
      if (last && p.bias != nullptr) acc[t] = Add(acc[t], bias);
      _mm512_mask_storeu_ps(out + t * p.out_stride, rows, acc[t]);
    }
  }
};

constexpr LinearKernels kKernels = {BlockKernels<Amx>::Quantize, BlockKernels<Amx>::Run,
                                    avx512_vnni_bf16::Floats, avx512_vnni_bf16::Round};

}  // namespace

void amx::FillLinear(ops::OpTable& table) { SetLinear(table, &kKernels); }

}  // namespace banyan::kernels
