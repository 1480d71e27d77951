// SPDX-License-Identifier: Apache-2.0
// What a level offers for matrix products, and the two forms of operand that it is given. Drivers
// (linear.cc) pack, quantize and split over threads; kernels are single-threaded and allocate
// nothing. The arithmetic is that of ops/reference/linear.h, bit for bit at every level, save for
// bf16 products in hardware (LinearKernels::bf16), which sum in another order, the same for every
// n.
//
// Packed blocks (layout 1): rows in groups of 16, padded with zero rows. A group is its codes,
// block after block of 32 columns, then its scales; 64 bytes of codes are 16 rows x 4 consecutive
// columns, one 32-bit lane per row, so that a lane sums one row and no sum ever crosses lanes.
// Codes are unsigned (ops::BlockFormat::offset is taken off in the integer sum), in planes, "run g"
// being columns [4 g, 4 g + 4) of the block:
//   4 bits: 256 bytes, vector j: low nibbles run j, high nibbles run j + 4
//   2 bits: 128 bytes, vector j: bits 2 i run 4 j + i          1 bit: 64 bytes: bit g run g
//   8 bits: 512 bytes, vector g: run g
//   Q5 = 4 + 1, Q6_K = 4 + 2, Q3_K = 2 + 1, Q2_K = 2.
// Scales of a plain format, per block: 16 halves d, then 16 halves m where it has them. Of a
// super-block format, per 256 columns: 16 halves d (and 16 dmin), then the small scales as bytes,
// [8 or 16 of them][16 rows], then mins the same; Q2_K's bytes hold both, the min in the high
// nibble.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

// Loops over registers must be unrolled for the compiler to keep them there.
#define BANYAN_UNROLL _Pragma("GCC unroll 16")

namespace banyan::kernels {

inline constexpr int kGroupRows = 16;
inline constexpr int kMaxTileTokens = 16;  // of any level

struct BlockLayout {
  int64_t code_bytes;   // of a group, per 32 columns
  int64_t scale_bytes;  // of a group, per `unit` columns
  int unit;             // 32 or 256

  int64_t GroupBytes(int64_t cols) const {
    return (cols / 32 * code_bytes + cols / unit * scale_bytes + 63) / 64 * 64;
  }
};
BlockLayout LayoutOf(DType dtype);

// x in int8, tokens in tiles of LinearKernels::tile_tokens (the last of what is left, `width`
// below): the tile of tokens from t0 on begins at element t0 * (elements per token) of each array,
// and within it
//   codes [cols / 32][width][32], d [cols / 32][width], init and sums [scale groups][width].
struct QuantizedX {
  int64_t n = 0;
  int64_t cols = 0;
  int8_t* codes = nullptr;
  float* d = nullptr;
  int32_t* init =
      nullptr;            // -offset * sum of the group's codes; null where the format has no offset
  float* sums = nullptr;  // d * sum of the group's codes; null where the format has no mins
};

struct BlockProduct {
  DType format = DType::kQ8_0;
  const uint8_t* packed = nullptr;
  int64_t rows = 0;
  QuantizedX x;
  const float* bias = nullptr;  // or null
  float* out = nullptr;         // [n, rows]
  int64_t out_stride = 0;
};

// Weights row major as in the checkpoint; x f32, already rounded to the compute type, or for
// LinearKernels::bf16 as bf16: rows padded with zeros to whole 32 columns, and as many rows
// allocated as whole tiles of tokens need.
struct FloatProduct {
  DType format = DType::kF32;  // f32, f16 or bf16
  const void* weights = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  const float* x = nullptr;
  const uint16_t* x_bf16 = nullptr;
  int64_t x_stride = 0;  // of either
  int64_t n = 0;
  const float* bias = nullptr;
  float* out = nullptr;
  int64_t out_stride = 0;
};

struct LinearKernels {
  // Tokens [begin, end) of x for products with weights of `format`.
  void (*quantize)(const float* x, int64_t x_stride, DType format, const QuantizedX& to,
                   int64_t begin, int64_t end) = nullptr;
  // Row groups [begin, end).
  void (*blocks)(const BlockProduct& product, int64_t begin, int64_t end) = nullptr;
  // Rows [begin, end).
  void (*floats)(const FloatProduct& product, int64_t begin, int64_t end) = nullptr;
  // n floats rounded to f16 or bf16 and back; in and out may be the same.
  void (*round)(const float* from, int64_t n, DType compute, float* to) = nullptr;
  // bf16 weights by the machine's own bf16 products, row groups [begin, end), and n floats rounded
  // for it. Null where the machine has none: then `floats` with rounded x.
  void (*bf16)(const FloatProduct& product, int64_t begin, int64_t end) = nullptr;
  void (*to_bf16)(const float* from, int64_t n, uint16_t* to) = nullptr;
};

}  // namespace banyan::kernels
