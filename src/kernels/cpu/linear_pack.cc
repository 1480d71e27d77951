// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/linear_pack.h"

#include <cstring>

#include "ops/reference/linear_blocks.h"

namespace banyan::kernels {
namespace {

using ops::BlockFormat;

constexpr int kRuns = 8;                   // of 4 columns in a block of 32
constexpr int kRunBytes = 4 * kGroupRows;  // 64: one vector

// Codes of a block as bytes, [run][row][4].
using Runs = uint8_t[kRuns][kRunBytes];

// Planes of `bits` bits of the codes from bit `from` on.
uint8_t* PackFour(const Runs& runs, uint8_t* to) {
  for (int j = 0; j < 4; ++j) {
    for (int i = 0; i < kRunBytes; ++i) {
      *to++ = static_cast<uint8_t>((runs[j][i] & 15) | (runs[j + 4][i] & 15) << 4);
    }
  }
  return to;
}

uint8_t* PackTwo(const Runs& runs, int from, uint8_t* to) {
  for (int j = 0; j < kRuns; j += 4) {
    for (int i = 0; i < kRunBytes; ++i) {
      int byte = 0;
      for (int k = 0; k < 4; ++k) byte |= (runs[j + k][i] >> from & 3) << (2 * k);
      *to++ = static_cast<uint8_t>(byte);
    }
  }
  return to;
}

uint8_t* PackOne(const Runs& runs, int from, uint8_t* to) {
  for (int i = 0; i < kRunBytes; ++i) {
    int byte = 0;
    for (int g = 0; g < kRuns; ++g) byte |= (runs[g][i] >> from & 1) << g;
    *to++ = static_cast<uint8_t>(byte);
  }
  return to;
}

void PackCodes(int bits, const Runs& runs, uint8_t* to) {
  switch (bits) {
    case 8:
      std::memcpy(to, runs, sizeof(Runs));
      return;
    case 6:
      PackTwo(runs, 4, PackFour(runs, to));
      return;
    case 5:
      PackOne(runs, 4, PackFour(runs, to));
      return;
    case 4:
      PackFour(runs, to);
      return;
    case 3:
      PackOne(runs, 2, PackTwo(runs, 0, to));
      return;
    default:
      PackTwo(runs, 0, to);
  }
}

// Formats whose codes are already as ours within a run are moved four bytes at a time. GGML's plain
// nibbles pair elements i and i + 16, as our plane pairs runs j and j + 4; bytes only lose their
// sign.
bool MovesRuns(DType dtype) {
  return dtype == DType::kQ4_0 || dtype == DType::kQ4_1 || dtype == DType::kQ8_0;
}

// A row's blocks of such a format: one or two halves, then the codes.
void MoveRow(DType dtype, const void* row, int64_t blocks, int lane, uint8_t* to, uint8_t* scales) {
  const int64_t size = Info(dtype).block_bytes;
  const int code_bytes = dtype == DType::kQ8_0 ? 32 : 16;
  const uint32_t flip = dtype == DType::kQ8_0 ? 0x80808080 : 0;
  const int64_t halves = (size - code_bytes) / 2;
  const auto* block = static_cast<const uint8_t*>(row);
  for (int64_t b = 0; b < blocks; ++b, block += size) {
    for (int64_t h = 0; h < halves; ++h, scales += 2 * kGroupRows)
      std::memcpy(scales + 2 * lane, block + 2 * h, 2);
    const uint8_t* codes = block + size - code_bytes;
    for (int i = 0; i < code_bytes; i += 4, to += kRunBytes) {
      uint32_t run;
      std::memcpy(&run, codes + i, sizeof run);
      run ^= flip;
      std::memcpy(to + 4 * lane, &run, sizeof run);
    }
  }
}

void PutHalf(uint8_t* to, int lane, uint16_t half) {
  std::memcpy(to + 2 * lane, &half, sizeof half);
}

void PackRuns(DType dtype, std::span<const void* const> rows, int64_t cols, uint8_t* to) {
  const BlockFormat& format = ops::FormatOf(dtype);
  const int64_t code_bytes = LayoutOf(dtype).code_bytes;
  Runs runs;
  std::memset(runs, 0, sizeof runs);
  for (int64_t b = 0; b < cols / 32; ++b) {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      alignas(16) int8_t codes[32];
      ops::DecodeCodes(dtype, rows[r], b, codes);
      for (int i = 0; i < 32; ++i) codes[i] = static_cast<int8_t>(codes[i] + format.offset);
      for (int g = 0; g < kRuns; ++g) std::memcpy(&runs[g][4 * r], codes + 4 * g, 4);
    }
    PackCodes(format.bits, runs, to + b * code_bytes);
  }
}

// Scales of one row for one unit of columns.
void PackScales(DType dtype, const BlockFormat& format, const void* row, int64_t unit, int lane,
                uint8_t* to) {
  const ops::BlockHalves halves = ops::HalvesOf(dtype, row, unit);
  PutHalf(to, lane, halves.d);
  to += 2 * kGroupRows;
  if (format.has_min) {
    PutHalf(to, lane, halves.min);
    to += 2 * kGroupRows;
  }
  if (!format.super) return;
  const int per_block = 32 / format.scale_elements;
  const int count = 8 * per_block;
  for (int block = 0; block < 8; ++block) {
    const ops::SubScales sub = ops::SubScalesOf(dtype, row, 8 * unit + block);
    for (int i = 0; i < per_block; ++i) {
      const int s = block * per_block + i;
      if (dtype == DType::kQ2_K) {
        to[s * kGroupRows + lane] = static_cast<uint8_t>(sub.scale[i] | sub.min[i] << 4);
        continue;
      }
      to[s * kGroupRows + lane] = static_cast<uint8_t>(sub.scale[i]);
      if (format.has_min) to[(count + s) * kGroupRows + lane] = sub.min[i];
    }
  }
}

}  // namespace

BlockLayout LayoutOf(DType dtype) {
  const BlockFormat& format = ops::FormatOf(dtype);
  BlockLayout layout{};
  layout.code_bytes = format.bits * 4 * kGroupRows;
  layout.unit = format.super ? 256 : 32;
  layout.scale_bytes = 2 * kGroupRows * (format.has_min ? 2 : 1);
  if (format.super) {
    const bool two_arrays = format.has_min && dtype != DType::kQ2_K;
    layout.scale_bytes += 256 / format.scale_elements * kGroupRows * (two_arrays ? 2 : 1);
  }
  return layout;
}

void PackGroup(std::span<const Tensor> parts, int64_t group, uint8_t* to) {
  const DType dtype = parts[0].dtype();
  const int64_t cols = parts[0].dim(1);
  const void* rows[kGroupRows];
  int count = 0;
  int64_t row = group * kGroupRows;  // within the part, once those before it are passed
  for (const Tensor& part : parts) {
    for (; row < part.dim(0) && count < kGroupRows; ++row)
      rows[count++] = part.data<std::byte>() + Bytes(dtype, row * part.stride(0));
    row -= part.dim(0);
  }
  const BlockFormat& format = ops::FormatOf(dtype);
  const BlockLayout layout = LayoutOf(dtype);
  uint8_t* scales = to + cols / 32 * layout.code_bytes;
  if (MovesRuns(dtype)) {
    for (int r = 0; r < count; ++r) MoveRow(dtype, rows[r], cols / 32, r, to, scales);
    return;
  }
  PackRuns(dtype, {rows, static_cast<std::size_t>(count)}, cols, to);
  for (int64_t unit = 0; unit < cols / layout.unit; ++unit) {
    for (int r = 0; r < count; ++r) {
      PackScales(dtype, format, rows[r], unit, r, scales + unit * layout.scale_bytes);
    }
  }
}

}  // namespace banyan::kernels
