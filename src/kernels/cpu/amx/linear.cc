// SPDX-License-Identifier: Apache-2.0
// Packed blocks by AMX's tiles of signed bytes: 16 tokens times 16 rows of one scale group is one
// tile product, whose integers are then scaled as everywhere. Few tokens take the VNNI kernels.
#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/linear_blocks_impl.h"
#include "kernels/cpu/linear_levels.h"
#include "kernels/cpu/linear_simd_vnni.h"

namespace banyan::kernels {
namespace {

struct Amx : Vnni {
  static constexpr bool kTiles = true;
  static constexpr int kTileTokens = 16;
  // Scale group g is multiplied while the sums of g - 1 leave their tile and those of g - 3, by
  // then out of the core's store buffers, are scaled: four places and four tiles in turn.
  static constexpr int kPlaces = 4;
  using Sums = int32_t[kTileTokens][kGroupRows];

  template <int kScaleElements>
  static void BeginTiles() {
    TileConfig config;
    for (int i = 0; i < 8; ++i) {
      config.row_bytes[i] = i == 4 || i == 5 ? kScaleElements : 64;
      config.rows[i] = i < 6 ? kTileTokens : kScaleElements / 4;
    }
    LoadConfig(config);
  }
  static void EndTiles() { _tile_release(); }

  // Tokens [4 kPart, 4 kPart + 4) of one scale group.
  template <class T, int kPart>
  static inline __attribute__((always_inline)) void Scale(F scale, F min, const float* d,
                                                          const float* x_sums, const Sums& sums,
                                                          F* acc) {
    BANYAN_UNROLL
    for (int t = 4 * kPart; t < 4 * kPart + 4; ++t) {
      acc[t] = Fma(Mul(Convert(Load(sums[t])), scale), Set1(d[t]), acc[t]);
      if constexpr (T::kHasMin) acc[t] = Fma(min, Set1(x_sums[t]), acc[t]);
    }
  }

  // One turn of the pipeline: g % kPlaces == kPlace. Tile instructions stand between pieces of the
  // scaling, since both wait long on themselves.
  template <class T, int kPlace>
  static inline __attribute__((always_inline)) void Turn(const Panel& panel, const TileX& x,
                                                         int64_t groups, int64_t g, Sums* sums,
                                                         F* acc) {
    if (g >= groups + 3) return;
    const int64_t b = g / T::kScalesPerBlock;
    const int64_t part = g % T::kScalesPerBlock;
    const int8_t* codes = x.codes + b * x.width * 32 + part * 16;
    const uint8_t* weights = panel.codes[0][0] + (b * 8 + part * 4) * 64;
    const bool multiply = g < groups;
    const bool store = g >= 1 && g <= groups;
    if (multiply) LoadTokens<kPlace>(codes);
    if (g < 3) {
      if (multiply) LoadWeights<kPlace>(weights);
      if (multiply) Product<kPlace>();
      if (store) StoreTile<(kPlace + 3) % kPlaces>(sums[(kPlace + 3) % kPlaces]);
      return;
    }
    const F scale = LoadF(panel.scale[g - 3]);
    F min = Zero();
    if constexpr (T::kHasMin) min = LoadF(panel.min[g - 3]);
    const float* d = x.d + (g - 3) / T::kScalesPerBlock * x.width;
    const float* x_sums = T::kHasMin ? x.sums + (g - 3) * x.width : nullptr;
    const Sums& done = sums[(kPlace + 1) % kPlaces];
    if (store) StoreTile<(kPlace + 3) % kPlaces>(sums[(kPlace + 3) % kPlaces]);
    Scale<T, 0>(scale, min, d, x_sums, done, acc);
    if (multiply) LoadWeights<kPlace>(weights);
    Scale<T, 1>(scale, min, d, x_sums, done, acc);
    if (multiply) Product<kPlace>();
    Scale<T, 2>(scale, min, d, x_sums, done, acc);
    Scale<T, 3>(scale, min, d, x_sums, done, acc);
  }

  // Tiles 0 to 3 are sums; 4 and 5 in turn x as [token][bytes of k], 6 and 7 the panel as
  // [k / 4][row][4]. GCC wants their numbers as literals.
  template <int kPlace>
  static inline __attribute__((always_inline)) void LoadTokens(const int8_t* codes) {
    if constexpr (kPlace % 2 == 0) _tile_loadd(4, codes, 32);
    if constexpr (kPlace % 2 == 1) _tile_loadd(5, codes, 32);
  }
  template <int kPlace>
  static inline __attribute__((always_inline)) void LoadWeights(const uint8_t* weights) {
    if constexpr (kPlace % 2 == 0) _tile_loadd(6, weights, 64);
    if constexpr (kPlace % 2 == 1) _tile_loadd(7, weights, 64);
  }
  template <int kPlace>
  static inline __attribute__((always_inline)) void Product() {
    if constexpr (kPlace == 0) {
      _tile_zero(0);
      _tile_dpbssd(0, 4, 6);
    } else if constexpr (kPlace == 1) {
      _tile_zero(1);
      _tile_dpbssd(1, 5, 7);
    } else if constexpr (kPlace == 2) {
      _tile_zero(2);
      _tile_dpbssd(2, 4, 6);
    } else {
      _tile_zero(3);
      _tile_dpbssd(3, 5, 7);
    }
  }
  template <int kPlace>
  static inline __attribute__((always_inline)) void StoreTile(Sums& sums) {
    if constexpr (kPlace == 0) _tile_stored(0, sums, 64);
    if constexpr (kPlace == 1) _tile_stored(1, sums, 64);
    if constexpr (kPlace == 2) _tile_stored(2, sums, 64);
    if constexpr (kPlace == 3) _tile_stored(3, sums, 64);
  }

  // One tile of tokens times one panel. Tokens that the last tile lacks are read (the driver
  // allocates for it) and not stored.
  template <class T>
  static __attribute__((noinline)) void MultiplyTile(const BlockProduct& p, const Panel& panel,
                                                     const Segment& segment, const TileX& x,
                                                     int64_t row, int64_t token) {
    FinishStores();
    alignas(64) Sums sums[kPlaces];
    const int64_t left = p.rows - row;
    const __mmask16 rows = First(left < kGroupRows ? static_cast<int>(left) : kGroupRows);
    float* out = p.out + token * p.out_stride + row;
    // Asked for now, so that the stores at the end do not hold up the next tile's sums.
    for (int t = 0; t < x.width; ++t) __builtin_prefetch(out + t * p.out_stride, 1);
    F acc[kTileTokens];
    BANYAN_UNROLL
    for (int t = 0; t < kTileTokens; ++t) {
      acc[t] = Zero();
      if (segment.first != 0 && t < x.width)
        acc[t] = _mm512_maskz_loadu_ps(rows, out + t * p.out_stride);
    }
    const int64_t groups = segment.blocks * T::kScalesPerBlock;
    for (int64_t g = 0; g < groups + 3; g += kPlaces) {
      Turn<T, 0>(panel, x, groups, g, sums, acc);
      Turn<T, 1>(panel, x, groups, g + 1, sums, acc);
      Turn<T, 2>(panel, x, groups, g + 2, sums, acc);
      Turn<T, 3>(panel, x, groups, g + 3, sums, acc);
    }
    const bool add_bias = segment.last && p.bias != nullptr;
    const F bias = add_bias ? _mm512_maskz_loadu_ps(rows, p.bias + row) : Zero();
    BANYAN_UNROLL
    for (int t = 0; t < kTileTokens; ++t) {
      if (t >= x.width) break;
      if (add_bias) acc[t] = Add(acc[t], bias);
      _mm512_mask_storeu_ps(out + t * p.out_stride, rows, acc[t]);
    }
  }
};

}  // namespace

const LinearKernels amx::kLinear = {BlockKernels<Amx>::Quantize,
                                    BlockKernels<Amx>::Run,
                                    avx512_vnni_bf16::Floats,
                                    avx512_vnni_bf16::Round,
                                    amx::Bf16,
                                    avx512_vnni_bf16::ToBf16};

}  // namespace banyan::kernels
