// SPDX-License-Identifier: Apache-2.0
// GGML's quantized blocks, taken apart: 32 consecutive elements as integers with their scales.
//
// Every format is w = scale * code (+ min), with a scale (and min) per 32 elements, or per 16
// (Q2_K, Q3_K, Q6_K). The bit layouts are those of GGML's file format (the GGUF specification and
// the `gguf` Python package, whose dequantization ours equals bit for bit). Everything that reads a
// block reads it through here: dequantization, embedding rows, the reference product, and the
// packing of every kernel.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "tensor/dtype.h"
#include "tensor/tensor.h"

namespace banyan::ops {

// What of a format is the same for all of its blocks.
struct BlockFormat {
  int scale_elements;  // elements that share one scale: 32 or 16
  int bits;            // of a code before `offset` is taken off
  int offset;          // code = stored bits - offset
  bool has_min;
  bool super;  // 256 elements: scale = d * sub_scale, min = -(dmin * sub_min)
};
const BlockFormat& FormatOf(DType dtype);  // of a quantized dtype

struct Block32 {
  int8_t codes[32];
  // Of elements [0, 16) and [16, 32); equal where scale_elements is 32.
  float scale[2];
  float min[2];  // 0 where the format has none
};

// Elements [32 * index, 32 * index + 32) of a row whose blocks begin at `row`.
void DecodeBlock(DType dtype, const void* row, int64_t index, Block32& block);

// The codes alone.
void DecodeCodes(DType dtype, const void* row, int64_t index, int8_t* codes);

// The halves that GGML stores: d, and dmin (or m); 0 where the format lacks it. `index` counts
// blocks of the dtype.
struct BlockHalves {
  uint16_t d;
  uint16_t min;
};
BlockHalves HalvesOf(DType dtype, const void* row, int64_t index);
// The first of `count` blocks of the dtype whose halves are not both finite; -1: none.
int64_t FirstNotFinite(DType dtype, const void* blocks, int64_t count);
// The small integer scales of elements [32 * index, 32 * index + 32) of a super-block format.
struct SubScales {
  int8_t scale[2];
  uint8_t min[2];
};
SubScales SubScalesOf(DType dtype, const void* row, int64_t index);

}  // namespace banyan::ops
