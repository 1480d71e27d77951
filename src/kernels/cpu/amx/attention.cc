// SPDX-License-Identifier: Apache-2.0
// Attention over wide bf16 rows (latents), and the index of sparse attention over bf16 keys, by
// AMX's tiles: there the arithmetic of f32 vectors, not memory, would set the pace.
//
// A query or weight x becomes two bf16 numbers, x rounded and what is left of it rounded, so that
// products keep 16 bits of it; keys and values are bf16 already. A tile product sums 32 elements;
// tiles of sums take them in order, first the rounded numbers', then what was left.
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
  static constexpr int64_t kDepth = 32;  // elements that one tile product sums
  using Panel = uint16_t[16][32];        // [pair of them][16 columns][2]

  static bool Serve(const ops::AttentionTask& task) {
    return task.key_dim > 256 && task.value_dim % kDepth == 0 &&
           ServeRows(task.dtype, task.key_dim);
  }
  static bool ServeRows(DType dtype, int64_t dim) {
    return dtype == DType::kBF16 && dim % kDepth == 0;
  }

  // n floats (a multiple of 32) as two halves each.
  static void Split(const float* from, int64_t n, uint16_t* high, uint16_t* low) {
    for (int64_t i = 0; i < n; i += 32) {
      const __m512 x = _mm512_loadu_ps(from + i), y = _mm512_loadu_ps(from + i + 16);
      const auto both = (__m512i)_mm512_cvtne2ps_pbh(y, x);
      _mm512_storeu_si512(high + i, both);
      const __m512i words_x = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(both));
      const __m512i words_y = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(both, 1));
      const __m512 rest_x = _mm512_sub_ps(x, _mm512_castsi512_ps(_mm512_slli_epi32(words_x, 16)));
      const __m512 rest_y = _mm512_sub_ps(y, _mm512_castsi512_ps(_mm512_slli_epi32(words_y, 16)));
      _mm512_storeu_si512(low + i, (__m512i)_mm512_cvtne2ps_pbh(rest_y, rest_x));
    }
  }

  static int64_t Pad(int64_t rows) { return (rows + 15) / 16 * 16; }

  // halves: [2][rows, padded][key_dim].
  static void Begin(const float* q, int64_t rows, int64_t key_dim, uint16_t* halves) {
    uint16_t* low = halves + Pad(rows) * key_dim;
    for (int64_t row = 0; row < rows; ++row)
      Split(q + row * key_dim, key_dim, halves + row * key_dim, low + row * key_dim);
    TileConfig config;
    for (int i = 0; i < 8; ++i) {
      config.row_bytes[i] = 64;
      config.rows[i] = 16;
    }
    LoadConfig(config);
  }
  static void End() { _tile_release(); }

  // Sums of 16 or 32 rows and 32 columns, tiles 0 to 3: (rows, columns) (0, 0), (0, 1), (1, 0),
  // (1, 1). a: [2][padded rows][a_stride], `low` elements from the high halves to the low ones;
  // panels [column tile][depths]; c is added to if `add`.
  template <int kRowTiles>
  static void Multiply(const uint16_t* a, int64_t a_stride, int64_t low, const Panel* panels,
                       int64_t depths, bool add, float* c, int64_t c_stride) {
    float* below = c + 16 * c_stride;
    const int64_t c_bytes = c_stride * 4, a_bytes = a_stride * 2;
    FinishStores();
    if (add) {
      _tile_loadd(0, c, c_bytes);
      _tile_loadd(1, c + 16, c_bytes);
      if constexpr (kRowTiles == 2) _tile_loadd(2, below, c_bytes);
      if constexpr (kRowTiles == 2) _tile_loadd(3, below + 16, c_bytes);
    } else {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
    }
    for (int64_t d = 0; d < depths; ++d) {
      const uint16_t* x = a + d * kDepth;
      const uint16_t* y = x + 16 * a_stride;
      _tile_loadd(6, panels[d], 64);
      _tile_loadd(7, panels[depths + d], 64);
      _tile_loadd(4, x, a_bytes);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      if constexpr (kRowTiles == 2) {
        _tile_loadd(5, y, a_bytes);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
      _tile_loadd(4, x + low, a_bytes);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      if constexpr (kRowTiles == 2) {
        _tile_loadd(5, y + low, a_bytes);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
    }
    _tile_stored(0, c, c_bytes);
    _tile_stored(1, c + 16, c_bytes);
    if constexpr (kRowTiles == 2) _tile_stored(2, below, c_bytes);
    if constexpr (kRowTiles == 2) _tile_stored(3, below + 16, c_bytes);
    FinishStores();
  }

  // All rows with `columns` columns, a multiple of 32.
  static void MultiplyAll(const uint16_t* a, int64_t a_stride, int64_t rows, const Panel* panels,
                          int64_t depths, int64_t columns, bool add, float* c, int64_t c_stride) {
    const int64_t padded = Pad(rows), low = padded * a_stride;
    for (int64_t column = 0; column < columns; column += 32, panels += 2 * depths) {
      int64_t row = 0;
      for (; row + 16 < padded; row += 32)
        Multiply<2>(a + row * a_stride, a_stride, low, panels, depths, add,
                    c + row * c_stride + column, c_stride);
      if (row < padded)
        Multiply<1>(a + row * a_stride, a_stride, low, panels, depths, add,
                    c + row * c_stride + column, c_stride);
    }
  }

  // scores [rows, padded][kBlock]; room: for the keys' panels.
  static void Scores(const uint16_t* halves, int64_t rows, int64_t key_dim, const char* const* keys,
                     float* room, float* scores) {
    auto* panels = reinterpret_cast<Panel*>(room);
    const int64_t depths = key_dim / kDepth;
    for (int64_t tile = 0; tile < kBlock / 16; ++tile) {
      for (int64_t d = 0; d < depths; ++d) {
        __m512i r[16];
        for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(keys[tile * 16 + i] + d * 64);
        TransposeWords(r);
        for (int i = 0; i < 16; ++i) _mm512_store_si512(panels[tile * depths + d][i], r[i]);
      }
    }
    MultiplyAll(halves, key_dim, rows, panels, depths, kBlock, false, scores, kBlock);
  }

  // sums = factors * sums + weights * values; halves: for the weights', room for the values'
  // panels.
  static void Gather(const float* weights, int64_t rows, uint16_t* halves,
                     const char* const* values, int64_t value_dim, float* room,
                     const float* factors, float* sums, int64_t stride) {
    constexpr int64_t kDepths = kBlock / kDepth;
    auto* panels = reinterpret_cast<Panel*>(room);
    alignas(64) uint16_t first[32], second[32];  // column i of both rows
    for (uint16_t i = 0; i < 16; ++i) {
      first[2 * i] = i;
      first[2 * i + 1] = static_cast<uint16_t>(i + 32);
      second[2 * i] = static_cast<uint16_t>(i + 16);
      second[2 * i + 1] = static_cast<uint16_t>(i + 48);
    }
    const __m512i low = _mm512_load_si512(first), high = _mm512_load_si512(second);
    for (int64_t pair = 0; pair < kBlock / 2; ++pair) {
      Panel* to = panels + pair / 16;
      for (int64_t column = 0; column < value_dim; column += 32, to += 2 * kDepths) {
        const __m512i a = _mm512_loadu_si512(values[2 * pair] + 2 * column);
        const __m512i b = _mm512_loadu_si512(values[2 * pair + 1] + 2 * column);
        _mm512_store_si512(to[0][pair % 16], _mm512_permutex2var_epi16(a, low, b));
        _mm512_store_si512(to[kDepths][pair % 16], _mm512_permutex2var_epi16(a, high, b));
      }
    }
    Split(weights, rows * kBlock, halves, halves + Pad(rows) * kBlock);
    for (int64_t row = 0; row < rows; ++row) {
      if (factors[row] == 1.0f) continue;
      const __m512 factor = _mm512_set1_ps(factors[row]);
      float* sum = sums + row * stride;
      for (int64_t i = 0; i < value_dim; i += 16)
        _mm512_store_ps(sum + i, _mm512_mul_ps(_mm512_load_ps(sum + i), factor));
    }
    MultiplyAll(halves, kBlock, rows, panels, kDepths, value_dim, true, sums, stride);
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
