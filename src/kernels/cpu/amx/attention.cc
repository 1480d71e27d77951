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
  static constexpr int64_t kBlock = 64;    // keys
  static constexpr int64_t kDepth = 32;    // elements that one tile product sums
  static constexpr int64_t kColumns = 64;  // of values that are multiplied together
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

  // The queries for Scores: for every 16 rows and depth a tile of the high halves and one of the
  // low ones, [pair of elements][row][2].
  static void Begin(const float* q, int64_t rows, int64_t key_dim, float* queries) {
    auto* to = reinterpret_cast<Tile*>(queries);
    alignas(64) Tile halves[2] = {};
    for (int64_t row = 0; row < rows; row += 16) {
      const int64_t count = rows - row < 16 ? rows - row : 16;
      if (count < 16) __builtin_memset(halves, 0, sizeof(halves));
      for (int64_t d = 0; d < key_dim; d += kDepth, to += 2) {
        for (int64_t i = 0; i < count; ++i)
          Split(q + (row + i) * key_dim + d, halves[0][i], halves[1][i]);
        Transpose(halves[0], 64, to[0], 64);
        Transpose(halves[1], 64, to[1], 64);
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

  struct NotAhead {
    void Ask(int64_t) {}
  };

  // Products of kBlock keys and all rows, padded: scores [rows][stride]; room: for the keys. Along
  // with them at least `lines` lines are asked for.
  template <class Ahead = NotAhead>
  static void Scores(const float* queries, int64_t rows, int64_t key_dim, const char* const* keys,
                     float* room, float* scores, int64_t stride, int64_t lines = 0,
                     Ahead&& ahead = NotAhead()) {
    const int64_t depths = key_dim / kDepth;
    const char* k[kBlock / 16];
    int64_t step[kBlock / 16];
    for (int64_t t = 0; t < kBlock / 16; ++t) {
      k[t] = keys[16 * t];
      step[t] = keys[16 * t + 1] - k[t];
      bool even = true;
      for (int64_t i = 2; i < 16; ++i) even &= keys[16 * t + i] - keys[16 * t + i - 1] == step[t];
      if (even) continue;
      // Their pages do not follow each other.
      step[t] = key_dim * 2;
      char* to = reinterpret_cast<char*>(room) + 16 * t * step[t];
      k[t] = to;
      for (int64_t i = 0; i < 16; ++i, to += step[t])
        for (int64_t at = 0; at < step[t]; at += 64)
          _mm512_storeu_si512(to + at, _mm512_loadu_si512(keys[16 * t + i] + at));
    }
    const auto* q = reinterpret_cast<const Tile*>(queries);
    const int64_t steps = (rows + 15) / 16 * depths * 2;
    lines = (lines + steps - 1) / steps;
    alignas(64) float sums[4][16][16];
    for (int64_t row = 0; row < rows; row += 16) {
      FinishStores();
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      for (int64_t d = 0; d < depths; ++d, q += 2) {
        _tile_loadd(6, q[0], 64);
        _tile_loadd(7, q[1], 64);
        _tile_loadd(4, k[0] + d * 64, step[0]);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(0, 4, 7);
        _tile_loadd(5, k[1] + d * 64, step[1]);
        _tile_dpbf16ps(1, 5, 6);
        _tile_dpbf16ps(1, 5, 7);
        ahead.Ask(lines);
        _tile_loadd(4, k[2] + d * 64, step[2]);
        _tile_dpbf16ps(2, 4, 6);
        _tile_dpbf16ps(2, 4, 7);
        _tile_loadd(5, k[3] + d * 64, step[3]);
        _tile_dpbf16ps(3, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        ahead.Ask(lines);
      }
      StoreSums(sums);
      for (int64_t t = 0; t < kBlock / 16; ++t)
        Transpose(sums[t], 64, scores + row * stride + 16 * t, stride * 4);
    }
  }

  static void StoreSums(float (*sums)[16][16]) {
    _tile_stored(0, sums[0], 64);
    _tile_stored(1, sums[1], 64);
    _tile_stored(2, sums[2], 64);
    _tile_stored(3, sums[3], 64);
    FinishStores();
  }

  // 32 values' elements of kColumns columns as four tiles [pair of values][16 columns][2]: of the
  // first 32 columns those with bit 2 clear, those with it set, then the others alike.
  static void Interleave(const char* const* values, int64_t column, Tile* to) {
    for (int64_t i = 0; i < 16; ++i) {
      const char* a = values[2 * i] + 2 * column;
      const char* b = values[2 * i + 1] + 2 * column;
      for (int64_t half = 0; half < 2; ++half) {
        const __m512i x = _mm512_loadu_si512(a + 64 * half), y = _mm512_loadu_si512(b + 64 * half);
        _mm512_store_si512(to[2 * half][i], _mm512_unpacklo_epi16(x, y));
        _mm512_store_si512(to[2 * half + 1][i], _mm512_unpackhi_epi16(x, y));
      }
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

  // sums = weights * values for `count` keys, a multiple of kBlock; halves: for the weights', room
  // for the values. Along with them at least `lines` lines are asked for.
  template <class Ahead>
  static void Gather(const float* weights, int64_t weights_stride, int64_t rows, float* halves,
                     const char* const* values, int64_t count, int64_t value_dim, float* room,
                     float* sums, int64_t stride, int64_t lines, Ahead&& ahead) {
    const int64_t depths = count / kDepth;
    auto* all = reinterpret_cast<Tile*>(halves);  // of 16 rows after the other
    for (int64_t row = 0; row < rows; ++row) {
      Tile* to = all + row / 16 * depths * 2;
      for (int64_t d = 0; d < depths; ++d)
        Split(weights + row * weights_stride + d * kDepth, to[2 * d][row % 16],
              to[2 * d + 1][row % 16]);
    }
    const int64_t steps = value_dim / kColumns * ((rows + 15) / 16) * depths * 2;
    lines = (lines + steps - 1) / steps;
    // What no other rows read again stays in the first-level cache: a ring of steps.
    const int64_t ring = rows > 16 ? depths : 4;
    auto* panels = reinterpret_cast<Tile*>(room);
    alignas(64) float out[4][16][16];
    for (int64_t column = 0; column < value_dim; column += kColumns) {
      Interleave(values, column, panels);
      const Tile* w = all;
      for (int64_t row = 0; row < rows; row += 16) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (int64_t d = 0; d < depths; ++d, w += 2) {
          // The tiles' stores should be over when they are loaded: one step before.
          if (row == 0 && d + 1 < depths)
            Interleave(values + (d + 1) * kDepth, column, panels + (d + 1) % ring * 4);
          FinishStores();
          const Tile* v = panels + d % ring * 4;
          _tile_loadd(4, w[0], 64);
          _tile_loadd(5, w[1], 64);
          _tile_loadd(6, v[0], 64);
          _tile_dpbf16ps(0, 4, 6);
          _tile_loadd(7, v[1], 64);
          _tile_dpbf16ps(1, 4, 7);
          _tile_dpbf16ps(0, 5, 6);
          _tile_dpbf16ps(1, 5, 7);
          ahead.Ask(lines);
          _tile_loadd(6, v[2], 64);
          _tile_dpbf16ps(2, 4, 6);
          _tile_loadd(7, v[3], 64);
          _tile_dpbf16ps(3, 4, 7);
          _tile_dpbf16ps(2, 5, 6);
          _tile_dpbf16ps(3, 5, 7);
          ahead.Ask(lines);
        }
        StoreSums(out);
        float* to = sums + row * stride + column;
        for (int64_t i = 0; i < 16 && row + i < rows; ++i, to += stride) {
          StoreColumns(out[0][i], out[1][i], to);
          StoreColumns(out[2][i], out[3][i], to + 32);
        }
      }
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
