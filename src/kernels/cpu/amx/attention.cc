// SPDX-License-Identifier: Apache-2.0
// Attention over wide bf16 rows (latents), and the index of sparse attention over bf16 keys, by
// AMX's tiles: there the arithmetic of f32 vectors, not memory, would set the pace.
//
// A query or weight x becomes two bf16 numbers, x rounded and what is left of it rounded, so that
// products keep 16 bits of it; keys and values are bf16 already. A tile product sums 32 elements;
// tiles of sums take them in order, of each 32 first the rounded numbers', then what was left.
//
// Scores are tiles of keys times queries, so that keys are read where they lie and only the scores
// are turned; outputs are weights times values, whose rows are interleaved by pairs.
#include "kernels/cpu/generic/attention.h"

#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/avx512/vec.h"
#include "kernels/cpu/generic/index.h"
#include "kernels/cpu/table.h"

namespace banyan::kernels {
namespace {

struct Tiles {
  static constexpr bool kAny = true;
  static constexpr int64_t kBlock = 64;  // keys
  static constexpr int64_t kKeys = 512;  // most of them that are taken together
  static constexpr int64_t kBlockTiles = kBlock / 16;
  static constexpr int64_t kDepth = 32;    // elements that one tile product sums
  static constexpr int64_t kColumns = 64;  // of values that are multiplied together
  static constexpr int64_t kAsks = 4;      // of lines to come, per step of eight tile products
  using Tile = uint16_t[16][32];

  static bool Fits(int64_t key_dim, int64_t value_dim) {
    return key_dim > 256 && key_dim % kDepth == 0 && value_dim % kColumns == 0;
  }
  static bool Serve(const ops::AttentionTask& task) {
    return task.dtype == DType::kBF16 && Fits(task.key_dim, task.value_dim);
  }
  static bool ServeRows(DType dtype, int64_t dim) {
    return dtype == DType::kBF16 && dim % kDepth == 0;
  }

  // 32 floats as two halves each.
  static void Split(const float* from, uint16_t* high, uint16_t* low) {
    const __m512 x = _mm512_loadu_ps(from), y = _mm512_loadu_ps(from + 16);
    const auto both = (__m512i)_mm512_cvtne2ps_pbh(y, x);
    _mm512_store_si512(high, both);
    const __m512i words_x = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(both));
    const __m512i words_y = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(both, 1));
    const __m512 rest_x = _mm512_sub_ps(x, _mm512_castsi512_ps(_mm512_slli_epi32(words_x, 16)));
    const __m512 rest_y = _mm512_sub_ps(y, _mm512_castsi512_ps(_mm512_slli_epi32(words_y, 16)));
    _mm512_store_si512(low, (__m512i)_mm512_cvtne2ps_pbh(rest_y, rest_x));
  }

  // Words of 16 rows, `step` bytes apart, to rows of their own.
  static void Transpose(const void* from, int64_t step, void* to, int64_t to_step) {
    __m512i r[16];
    for (int i = 0; i < 16; ++i)
      r[i] = _mm512_loadu_si512(static_cast<const char*>(from) + i * step);
    TransposeWords(r);
    for (int i = 0; i < 16; ++i) _mm512_storeu_si512(static_cast<char*>(to) + i * to_step, r[i]);
  }

  struct NotAhead {
    int64_t Lines() { return 0; }
    void Ask(int64_t) {}
  };

  // The queries for Scores: for every 16 rows and depth a tile of the high halves and one of the
  // low ones, [pair of elements][row][2]. Along with them at least `lines` lines are asked for.
  template <class Ahead = NotAhead>
  static void Begin(const float* q, int64_t rows, int64_t key_dim, float* queries,
                    int64_t lines = 0, Ahead&& ahead = NotAhead()) {
    auto* to = reinterpret_cast<Tile*>(queries);
    alignas(64) Tile halves[2] = {};
    const int64_t steps = (rows + 15) / 16 * (key_dim / kDepth);
    lines = (lines + steps - 1) / steps;
    for (int64_t row = 0; row < rows; row += 16) {
      const int64_t count = rows - row < 16 ? rows - row : 16;
      if (count < 16) __builtin_memset(halves, 0, sizeof(halves));
      for (int64_t d = 0; d < key_dim; d += kDepth, to += 2) {
        for (int64_t i = 0; i < count; ++i)
          Split(q + (row + i) * key_dim + d, halves[0][i], halves[1][i]);
        Transpose(halves[0], 64, to[0], 64);
        Transpose(halves[1], 64, to[1], 64);
        ahead.Ask(lines);
      }
    }
    TileConfig config;
    for (int i = 0; i < 8; ++i) {
      config.row_bytes[i] = 64;
      config.rows[i] = 16;
    }
    LoadConfig(config);
  }
  static void End() { _tile_release(); }

  // Where the tiles of up to kKeys keys lie.
  struct Keys {
    const char* at[kKeys / 16];
    int64_t step[kKeys / 16];
  };

  // Places `count` keys, a multiple of kBlock; those that do not lie at even steps are copied to
  // `room`, and `values` with them where they are parts of the keys.
  static Keys Place(const char* const* keys, int64_t count, int64_t key_dim, float* room,
                    const char** values = nullptr) {
    Keys placed;
    for (int64_t t = 0; t < count / 16; ++t) {
      const char* const* from = keys + 16 * t;
      placed.at[t] = from[0];
      placed.step[t] = from[1] - from[0];
      bool even = true;
      for (int64_t i = 2; i < 16; ++i) even &= from[i] - from[i - 1] == placed.step[t];
      if (even) continue;
      // Their pages do not follow each other.
      const int64_t step = key_dim * 2;
      char* to = reinterpret_cast<char*>(room) + 16 * t * step;
      placed.at[t] = to;
      placed.step[t] = step;
      for (int64_t i = 0; i < 16; ++i, to += step) {
        for (int64_t at = 0; at < step; at += 64)
          _mm512_storeu_si512(to + at, _mm512_loadu_si512(from[i] + at));
        if (values != nullptr) values[16 * t + i] += to - from[i];
      }
    }
    return placed;
  }

  // Products of `count` placed keys and 16 rows of queries: scores [16][stride]. Along with every
  // kBlock keys at least ahead.Lines() lines are asked for.
  template <class Ahead = NotAhead>
  static void Scores(const float* queries, int64_t key_dim, const Keys& keys, int64_t count,
                     float* scores, int64_t stride, Ahead&& ahead = NotAhead()) {
    const int64_t depths = key_dim / kDepth;
    alignas(64) float sums[2][kBlockTiles][16][16];
    // A block's sums are turned while the next one's are made.
    const auto turn = [&](int64_t block, int64_t t) {
      Transpose(sums[block % 2][t], 64, scores + block * kBlock + 16 * t, stride * 4);
    };
    const int64_t blocks = count / kBlock;
    for (int64_t block = 0; block < blocks; ++block) {
      const char* const* k = keys.at + kBlockTiles * block;
      const int64_t* step = keys.step + kBlockTiles * block;
      const auto* q = reinterpret_cast<const Tile*>(queries);
      const int64_t lines = (ahead.Lines() + kAsks * depths - 1) / (kAsks * depths);
      ZeroSums();
      for (int64_t t = 0, d = 0; t < kBlockTiles; ++t) {
        if (block > 0) turn(block - 1, t);
        for (const int64_t end = depths * (t + 1) / kBlockTiles; d < end; ++d, q += 2) {
          _tile_loadd(6, q[0], 64);
          _tile_loadd(7, q[1], 64);
          _tile_loadd(4, k[0] + d * 64, step[0]);
          _tile_dpbf16ps(0, 4, 6);
          _tile_dpbf16ps(0, 4, 7);
          ahead.Ask(lines);
          _tile_loadd(5, k[1] + d * 64, step[1]);
          _tile_dpbf16ps(1, 5, 6);
          _tile_dpbf16ps(1, 5, 7);
          ahead.Ask(lines);
          _tile_loadd(4, k[2] + d * 64, step[2]);
          _tile_dpbf16ps(2, 4, 6);
          _tile_dpbf16ps(2, 4, 7);
          ahead.Ask(lines);
          _tile_loadd(5, k[3] + d * 64, step[3]);
          _tile_dpbf16ps(3, 5, 6);
          _tile_dpbf16ps(3, 5, 7);
          ahead.Ask(lines);
        }
      }
      StoreSums(sums[block % 2]);
    }
    for (int64_t t = 0; t < kBlockTiles; ++t) turn(blocks - 1, t);
  }

  // The weights of a row for Gather: `halves` are those of its 16 rows, for every depth a tile of
  // the high halves and one of the low ones.
  static void SplitWeights(const float* weights, int64_t count, int64_t row, float* halves) {
    auto* to = reinterpret_cast<Tile*>(halves);
    for (int64_t d = 0; d < count; d += kDepth, to += 2) Split(weights + d, to[0][row], to[1][row]);
  }

  static void ZeroSums() {
    FinishStores();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }

  static void StoreSums(float (*sums)[16][16]) {
    _tile_stored(0, sums[0], 64);
    _tile_stored(1, sums[1], 64);
    _tile_stored(2, sums[2], 64);
    _tile_stored(3, sums[3], 64);
    FinishStores();
  }

  // 32 values' elements of 32 columns as two tiles [pair of values][16 columns][2]: the columns
  // with bit 2 clear, and those with it set.
  static void Interleave(const char* const* values, int64_t column, Tile* to) {
    for (int64_t i = 0; i < 16; ++i) {
      const __m512i x = _mm512_loadu_si512(values[2 * i] + 2 * column);
      const __m512i y = _mm512_loadu_si512(values[2 * i + 1] + 2 * column);
      _mm512_store_si512(to[0][i], _mm512_unpacklo_epi16(x, y));
      _mm512_store_si512(to[1][i], _mm512_unpackhi_epi16(x, y));
    }
  }

  // A row of two tiles of sums, whose columns are Interleave's, in order.
  static void StoreColumns(const float* first, const float* second, float* to) {
    const __m512i low = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    const __m512 x = _mm512_load_ps(first), y = _mm512_load_ps(second);
    _mm512_store_ps(to, _mm512_permutex2var_ps(x, low, y));
    _mm512_store_ps(to + 16, _mm512_permutex2var_ps(x, high, y));
  }

  // Two tiles of sums of `count` rows.
  static void StoreColumns(const float (*out)[16][16], int64_t count, float* to, int64_t stride) {
    for (int64_t i = 0; i < count && i < 16; ++i, to += stride)
      StoreColumns(out[0][i], out[1][i], to);
  }

  // sums = weights * values for `count` keys, a multiple of kBlock; halves: SplitWeights', of 16
  // rows after the other, room: for the values. Along with them at least `lines` lines are asked
  // for.
  template <class Ahead>
  static void Gather(const float* halves, int64_t rows, const char* const* values, int64_t count,
                     int64_t value_dim, float* room, float* sums, int64_t stride, int64_t lines,
                     Ahead&& ahead) {
    const int64_t depths = count / kDepth, groups = (rows + 15) / 16;
    const auto* all = reinterpret_cast<const Tile*>(halves);
    const int64_t steps = value_dim / kColumns * groups * depths * kAsks;
    lines = (lines + steps - 1) / steps;
    // What no other rows read again stays in the first-level cache: a ring of steps.
    const int64_t ring = groups > 1 ? depths : 4;
    auto* panel = reinterpret_cast<Tile*>(room);
    Tile* const panels[2] = {panel, panel + 2 * ring};  // of 32 columns
    alignas(64) float out[4][16][16];
    for (int64_t column = 0; column < value_dim; column += kColumns) {
      // Two times 16 rows and 32 columns, so that the values stay in the first-level cache.
      for (int64_t half = 0; half < 2 && groups > 1; ++half) {
        const int64_t at = column + 32 * half;
        Interleave(values, at, panels[half]);
        for (int64_t group = 0; group + 1 < groups; group += 2) {
          const Tile* w = all + group * depths * 2;
          const Tile* next_w = w + depths * 2;
          ZeroSums();
          for (int64_t d = 0; d < depths; ++d, w += 2, next_w += 2) {
            // The tiles' stores should be over when they are loaded: one step before.
            if (group == 0 && d + 1 < depths)
              Interleave(values + (d + 1) * kDepth, at, panels[half] + 2 * (d + 1));
            FinishStores();
            const Tile* v = panels[half] + 2 * d;
            _tile_loadd(6, v[0], 64);
            _tile_loadd(4, w[0], 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(7, v[1], 64);
            _tile_dpbf16ps(1, 4, 7);
            ahead.Ask(lines);
            _tile_loadd(5, w[1], 64);
            _tile_dpbf16ps(0, 5, 6);
            _tile_dpbf16ps(1, 5, 7);
            ahead.Ask(lines);
            _tile_loadd(4, next_w[0], 64);
            _tile_dpbf16ps(2, 4, 6);
            _tile_dpbf16ps(3, 4, 7);
            ahead.Ask(lines);
            _tile_loadd(5, next_w[1], 64);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
            ahead.Ask(lines);
          }
          StoreSums(out);
          float* to = sums + group * 16 * stride + at;
          StoreColumns(out, 16, to, stride);
          StoreColumns(out + 2, rows - group * 16 - 16, to + 16 * stride, stride);
        }
      }
      if (groups % 2 == 0) continue;
      // The last 16 rows.
      const Tile* w = all + (groups - 1) * depths * 2;
      const auto interleave = [&](int64_t d) {
        if (groups > 1 || d == depths) return;
        Interleave(values + d * kDepth, column, panels[0] + d % ring * 2);
        Interleave(values + d * kDepth, column + 32, panels[1] + d % ring * 2);
      };
      interleave(0);
      ZeroSums();
      for (int64_t d = 0; d < depths; ++d, w += 2) {
        interleave(d + 1);
        FinishStores();
        const Tile* v = panels[0] + d % ring * 2;
        const Tile* more_v = panels[1] + d % ring * 2;
        _tile_loadd(4, w[0], 64);
        _tile_loadd(5, w[1], 64);
        _tile_loadd(6, v[0], 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, v[1], 64);
        _tile_dpbf16ps(1, 4, 7);
        ahead.Ask(lines);
        _tile_dpbf16ps(0, 5, 6);
        _tile_dpbf16ps(1, 5, 7);
        ahead.Ask(lines);
        _tile_loadd(6, more_v[0], 64);
        _tile_dpbf16ps(2, 4, 6);
        _tile_loadd(7, more_v[1], 64);
        _tile_dpbf16ps(3, 4, 7);
        ahead.Ask(lines);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        ahead.Ask(lines);
      }
      StoreSums(out);
      float* to = sums + (groups - 1) * 16 * stride + column;
      StoreColumns(out, rows - (groups - 1) * 16, to, stride);
      StoreColumns(out + 2, rows - (groups - 1) * 16, to + 32, stride);
    }
  }
};

}  // namespace

namespace amx {
void FillAttention(ops::OpTable& table) {
  Attention<Vec, Tiles>::Fill(table);
  Index<Vec, Tiles>::Fill(table);
}
}  // namespace amx

}  // namespace banyan::kernels
