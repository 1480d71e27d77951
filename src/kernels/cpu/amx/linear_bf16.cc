// SPDX-License-Identifier: Apache-2.0
// bf16 weights by AMX's tiles. A tile product sums 32 columns; tiles of sums take them in order, so
// that an element's bits do not depend on where in a batch its token stands.
//
// Weights are read in place: 16 rows x 32 columns at a time are transposed, by pairs of columns,
// into the form that the tiles want, and stay in cache for all tokens. Tokens are 16 to a tile;
// below 16 the tiles have as many rows as there are tokens. One tile of tokens takes the columns as
// they come: memory sets the pace, and transposing and multiplying must not wait for each other.
#include "kernels/cpu/amx/tiles.h"
#include "kernels/cpu/linear_levels.h"

namespace banyan::kernels {
namespace {

constexpr int64_t kChunkColumns = 32;
constexpr int64_t kPanelChunks =
    32;  // two panels and the tokens' tiles stay in the second-level cache
constexpr int64_t kPrefetchChunks = 16;

using Chunk = uint16_t[16][32];  // [pair of columns][row][2]

struct alignas(64) Panel {
  Chunk pairs[kPanelChunks];
};

// Columns [column, column + kChunkColumns) of rows [row, row + 16); what the matrix lacks is 0.
inline void FillChunk(const FloatProduct& p, int64_t row, int64_t column, Chunk& to) {
  const auto* weights = static_cast<const uint16_t*>(p.weights) + row * p.cols + column;
  const int64_t rows = p.rows - row < 16 ? p.rows - row : 16;
  const int64_t left = p.cols - column;
  const __mmask32 mask = left >= 32 ? ~__mmask32{0} : (__mmask32{1} << left) - 1;
  __m512i r[16];
  for (int i = 0; i < 16; ++i) {
    r[i] = i < rows ? _mm512_maskz_loadu_epi16(mask, weights + i * p.cols) : _mm512_setzero_si512();
  }
  TransposeWords(r);
  for (int i = 0; i < 16; ++i) _mm512_store_si512(to[i], r[i]);
}

void FillPanel(const FloatProduct& p, int64_t row, int64_t from, int64_t chunks, Panel& panel) {
  for (int64_t c = 0; c < chunks; ++c) FillChunk(p, row, from + c * kChunkColumns, panel.pairs[c]);
}

// Where a tile of sums lies between segments of the columns and at the end: in `out` itself, or in
// a corner buffer where `out` lacks rows or tokens of it.
struct Sums {
  float* at;
  int64_t stride;  // bytes
};

struct Corner {
  alignas(64) float sums[16][16];
};

struct TileRange {
  int64_t row;
  int64_t token;
  int64_t tokens;  // that the tile has
};

bool Inside(const FloatProduct& p, const TileRange& tile) {
  return p.rows - tile.row >= 16 && p.n - tile.token >= tile.tokens;
}

__mmask16 RowMask(const FloatProduct& p, int64_t row) {
  const int64_t left = p.rows - row;
  return left >= 16 ? __mmask16{0xffff} : static_cast<__mmask16>((1u << left) - 1);
}

Sums Place(const FloatProduct& p, const TileRange& tile, bool first, Corner& corner) {
  float* out = p.out + tile.token * p.out_stride + tile.row;
  if (Inside(p, tile)) return {out, p.out_stride * 4};
  if (!first) {
    for (int64_t t = 0; t < tile.tokens && t < p.n - tile.token; ++t) {
      _mm512_store_ps(corner.sums[t],
                      _mm512_maskz_loadu_ps(RowMask(p, tile.row), out + t * p.out_stride));
    }
  }
  return {corner.sums[0], 64};
}

void Finish(const FloatProduct& p, const TileRange& tile, bool last, const Sums& sums) {
  const bool add_bias = last && p.bias != nullptr;
  const bool inside = Inside(p, tile);
  if (inside && !add_bias) return;
  const __mmask16 mask = RowMask(p, tile.row);
  const __m512 bias =
      add_bias ? _mm512_maskz_loadu_ps(mask, p.bias + tile.row) : _mm512_setzero_ps();
  float* out = p.out + tile.token * p.out_stride + tile.row;
  for (int64_t t = 0; t < tile.tokens && t < p.n - tile.token; ++t) {
    __m512 v = _mm512_loadu_ps(inside ? out + t * p.out_stride : sums.at + t * 16);
    if (add_bias) v = _mm512_add_ps(v, bias);
    _mm512_mask_storeu_ps(out + t * p.out_stride, mask, v);
  }
}

// Tiles 0 to 3: sums of (tokens, rows) (0, 0), (0, 1), (1, 0), (1, 1); 4 and 5 tokens, 6 and 7
// rows. kTokens and kRows are how many of each there are.
template <int kTokens, int kRows>
void Multiply(const FloatProduct& p, const Panel* panels, int64_t row, int64_t token,
              int64_t tokens, int64_t from, int64_t chunks) {
  const bool first = from == 0;
  const bool last = from + chunks * kChunkColumns >= p.cols;
  Corner corners[4];
  Sums sums[4];
  TileRange tiles[4];
  for (int i = 0; i < 4; ++i) {
    tiles[i] = {row + i % 2 * 16, token + i / 2 * 16, tokens};
    if (i % 2 < kRows && i / 2 < kTokens) sums[i] = Place(p, tiles[i], first, corners[i]);
  }
  FinishStores();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  if (!first) {
    _tile_loadd(0, sums[0].at, sums[0].stride);
    if constexpr (kRows == 2) _tile_loadd(1, sums[1].at, sums[1].stride);
    if constexpr (kTokens == 2) _tile_loadd(2, sums[2].at, sums[2].stride);
    if constexpr (kTokens == 2 && kRows == 2) _tile_loadd(3, sums[3].at, sums[3].stride);
  }
  const uint16_t* x = p.x_bf16 + token * p.x_stride + from;
  const uint16_t* second = x + 16 * p.x_stride;
  for (int64_t c = 0; c < chunks; ++c) {
    _tile_loadd(4, x + c * kChunkColumns, p.x_stride * 2);
    _tile_loadd(6, panels[0].pairs[c], 64);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kRows == 2) {
      _tile_loadd(7, panels[1].pairs[c], 64);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (kTokens == 2) {
      _tile_loadd(5, second + c * kChunkColumns, p.x_stride * 2);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (kRows == 2) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, sums[0].at, sums[0].stride);
  if constexpr (kRows == 2) _tile_stored(1, sums[1].at, sums[1].stride);
  if constexpr (kTokens == 2) _tile_stored(2, sums[2].at, sums[2].stride);
  if constexpr (kTokens == 2 && kRows == 2) _tile_stored(3, sums[3].at, sums[3].stride);
  for (int i = 0; i < 4; ++i) {
    if (i % 2 < kRows && i / 2 < kTokens) Finish(p, tiles[i], last, sums[i]);
  }
}

template <int kRows>
void MultiplyAll(const FloatProduct& p, const Panel* panels, int64_t row, int64_t from,
                 int64_t chunks) {
  const int64_t tokens = p.n < kMaxTileTokens ? p.n : kMaxTileTokens;
  int64_t token = 0;
  for (; token + kMaxTileTokens < p.n; token += 2 * kMaxTileTokens) {
    Multiply<2, kRows>(p, panels, row, token, tokens, from, chunks);
  }
  if (token < p.n) Multiply<1, kRows>(p, panels, row, token, tokens, from, chunks);
}

// All tokens, one tile of them, times kRows x 16 rows. Chunks are multiplied kDelay - 1 steps after
// they were stored, when the stores are over.
template <int kRows>
void MultiplyFew(const FloatProduct& p, int64_t row, int64_t chunks) {
  constexpr int64_t kDelay = 4;
  // Short rows are no streams that the hardware would follow.
  const bool prefetch = chunks <= kPrefetchChunks;
  const char* next = static_cast<const char*>(p.weights) + (row + kRows * 16) * p.cols * 2;
  Corner corners[kRows];
  Sums sums[kRows];
  TileRange tiles[kRows];
  for (int i = 0; i < kRows; ++i) {
    tiles[i] = {row + i * 16, 0, p.n};
    sums[i] = Place(p, tiles[i], true, corners[i]);
  }
  alignas(64) Chunk ring[kDelay][kRows];
  _tile_zero(0);
  _tile_zero(1);
  for (int64_t step = 0; step < chunks + kDelay - 1; ++step) {
    if (step < chunks) {
      for (int i = 0; i < kRows; ++i)
        FillChunk(p, row + i * 16, step * kChunkColumns, ring[step % kDelay][i]);
      if (prefetch)
        for (int i = 0; i < kRows * 16; ++i, next += 64) __builtin_prefetch(next, 0, 2);
    }
    FinishStores();
    const int64_t c = step - (kDelay - 1);
    if (c < 0) continue;
    _tile_loadd(4, p.x_bf16 + c * kChunkColumns, p.x_stride * 2);
    _tile_loadd(6, ring[c % kDelay][0], 64);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kRows == 2) {
      _tile_loadd(7, ring[c % kDelay][1], 64);
      _tile_dpbf16ps(1, 4, 7);
    }
  }
  _tile_stored(0, sums[0].at, sums[0].stride);
  if constexpr (kRows == 2) _tile_stored(1, sums[1].at, sums[1].stride);
  FinishStores();
  for (int i = 0; i < kRows; ++i) Finish(p, tiles[i], true, sums[i]);
}

}  // namespace

void amx::Bf16(const FloatProduct& p, int64_t begin, int64_t end) {
  if (p.n == 0) return;
  const int64_t tokens = p.n < kMaxTileTokens ? p.n : kMaxTileTokens;
  TileConfig config;
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = 64;
    config.rows[i] = static_cast<uint8_t>(i < 6 ? tokens : 16);
  }
  LoadConfig(config);
  Panel panels[2];
  const int64_t all_chunks = (p.cols + kChunkColumns - 1) / kChunkColumns;
  for (int64_t g = begin; g < end; g += 2) {
    const int64_t row = g * kGroupRows;
    const bool pair = g + 1 < end;
    if (p.n <= kMaxTileTokens) {
      pair ? MultiplyFew<2>(p, row, all_chunks) : MultiplyFew<1>(p, row, all_chunks);
      continue;
    }
    for (int64_t chunk = 0; chunk < all_chunks; chunk += kPanelChunks) {
      const int64_t chunks = all_chunks - chunk < kPanelChunks ? all_chunks - chunk : kPanelChunks;
      const int64_t from = chunk * kChunkColumns;
      FillPanel(p, row, from, chunks, panels[0]);
      if (pair) FillPanel(p, row + 16, from, chunks, panels[1]);
      if (pair) {
        MultiplyAll<2>(p, panels, row, from, chunks);
      } else {
        MultiplyAll<1>(p, panels, row, from, chunks);
      }
    }
  }
  _tile_release();
}

}  // namespace banyan::kernels
