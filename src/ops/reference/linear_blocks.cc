// SPDX-License-Identifier: Apache-2.0
#include "ops/reference/linear_blocks.h"

#include <cstring>

#include "ops/reference/half.h"

namespace banyan::ops {
namespace {

uint16_t Load16(const uint8_t* at) {
  uint16_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

uint32_t Load32(const uint8_t* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Byte offsets of the halves within a block.
struct HalfOffsets {
  int d;
  int min;  // -1: none
};

HalfOffsets OffsetsOf(DType dtype) {
  switch (dtype) {
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ2_K:
      return {80, 82};
    case DType::kQ3_K:
      return {108, -1};
    case DType::kQ6_K:
      return {208, -1};
    default:  // Q4_0, Q5_0, Q8_0
      return {0, -1};
  }
}

// Low nibbles are elements 0 to 15, high nibbles 16 to 31.
void Nibbles(const uint8_t* packed, int offset, int8_t* codes) {
  for (int i = 0; i < 16; ++i) {
    codes[i] = static_cast<int8_t>((packed[i] & 15) - offset);
    codes[i + 16] = static_cast<int8_t>((packed[i] >> 4) - offset);
  }
}

void NibblesWithHighBit(const uint8_t* high, const uint8_t* packed, int offset, int8_t* codes) {
  const uint32_t bits = Load32(high);
  for (int i = 0; i < 16; ++i) {
    const int low_half = (packed[i] & 15) | static_cast<int>(bits >> i & 1) << 4;
    const int high_half = (packed[i] >> 4) | static_cast<int>(bits >> (i + 16) & 1) << 4;
    codes[i] = static_cast<int8_t>(low_half - offset);
    codes[i + 16] = static_cast<int8_t>(high_half - offset);
  }
}

// The codes of the 32 elements at 32 * part of one 256-element block.
void SuperCodes(DType dtype, const uint8_t* b, int part, int8_t* codes) {
  switch (dtype) {
    case DType::kQ2_K: {
      const uint8_t* low = b + 16 + part / 4 * 32;
      const int shift = part % 4 * 2;
      for (int i = 0; i < 32; ++i) codes[i] = static_cast<int8_t>(low[i] >> shift & 3);
      return;
    }
    case DType::kQ3_K: {
      const uint8_t* high = b;
      const uint8_t* low = b + 32 + part / 4 * 32;
      const int shift = part % 4 * 2;
      for (int i = 0; i < 32; ++i) {
        codes[i] =
            static_cast<int8_t>((low[i] >> shift & 3) - ((high[i] >> part & 1) != 0 ? 0 : 4));
      }
      return;
    }
    case DType::kQ4_K: {
      const uint8_t* low = b + 16 + part / 2 * 32;
      const int shift = part % 2 * 4;
      for (int i = 0; i < 32; ++i) codes[i] = static_cast<int8_t>(low[i] >> shift & 15);
      return;
    }
    case DType::kQ5_K: {
      const uint8_t* high = b + 16;
      const uint8_t* low = b + 48 + part / 2 * 32;
      const int shift = part % 2 * 4;
      for (int i = 0; i < 32; ++i) {
        codes[i] = static_cast<int8_t>((low[i] >> shift & 15) | (high[i] >> part & 1) << 4);
      }
      return;
    }
    default: {  // Q6_K: 128 elements at a time, four runs of 32
      const uint8_t* low = b + part / 4 * 64 + part % 2 * 32;
      const uint8_t* high = b + 128 + part / 4 * 32;
      const int low_shift = part % 4 / 2 * 4;
      const int high_shift = part % 4 * 2;
      for (int i = 0; i < 32; ++i) {
        codes[i] = static_cast<int8_t>(
            ((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4) - 32);
      }
      return;
    }
  }
}

const uint8_t* BlockAt(DType dtype, const void* row, int64_t index) {
  return static_cast<const uint8_t*>(row) + index * Info(dtype).block_bytes;
}

}  // namespace

const BlockFormat& FormatOf(DType dtype) {
  static constexpr BlockFormat kFormats[] = {
      {32, 4, 8, false, false},    // Q4_0
      {32, 4, 0, true, false},     // Q4_1
      {32, 5, 16, false, false},   // Q5_0
      {32, 5, 0, true, false},     // Q5_1
      {32, 8, 128, false, false},  // Q8_0
      {16, 2, 0, true, true},      // Q2_K
      {16, 3, 4, false, true},     // Q3_K
      {32, 4, 0, true, true},      // Q4_K
      {32, 5, 0, true, true},      // Q5_K
      {16, 6, 32, false, true},    // Q6_K
  };
  return kFormats[static_cast<int>(dtype) - static_cast<int>(DType::kQ4_0)];
}

BlockHalves HalvesOf(DType dtype, const void* row, int64_t index) {
  const uint8_t* b = BlockAt(dtype, row, index);
  const HalfOffsets at = OffsetsOf(dtype);
  return {Load16(b + at.d), at.min < 0 ? uint16_t{0} : Load16(b + at.min)};
}

int64_t FirstNotFinite(DType dtype, const void* blocks, int64_t count) {
  constexpr uint16_t kExponent = 0x7C00;  // all ones: infinite or not a number
  const int64_t size = Info(dtype).block_bytes;
  const HalfOffsets at = OffsetsOf(dtype);
  const auto* b = static_cast<const uint8_t*>(blocks);
  const int min = at.min < 0 ? at.d : at.min;
  for (int64_t i = 0; i < count; ++i, b += size) {
    if ((Load16(b + at.d) & kExponent) == kExponent || (Load16(b + min) & kExponent) == kExponent)
      return i;
  }
  return -1;
}

SubScales SubScalesOf(DType dtype, const void* row, int64_t index) {
  const uint8_t* b = BlockAt(dtype, row, index / 8);
  const int part = static_cast<int>(index % 8);
  SubScales sub{};
  switch (dtype) {
    case DType::kQ2_K:
      for (int i = 0; i < 2; ++i) {
        sub.scale[i] = static_cast<int8_t>(b[2 * part + i] & 15);
        sub.min[i] = b[2 * part + i] >> 4;
      }
      break;
    case DType::kQ3_K:  // 16 scales of 6 bits: nibbles in bytes 0 to 7, two high bits in 8 to 11
      for (int i = 0; i < 2; ++i) {
        const int s = 2 * part + i;
        const int low = b[96 + s % 8] >> (s / 8 * 4) & 15;
        const int high = b[96 + 8 + s % 4] >> (s / 4 * 2) & 3;
        sub.scale[i] = static_cast<int8_t>((low | high << 4) - 32);
      }
      break;
    case DType::kQ6_K:
      for (int i = 0; i < 2; ++i) sub.scale[i] = static_cast<int8_t>(b[192 + 2 * part + i]);
      break;
    default: {  // Q4_K, Q5_K: 8 scales and 8 mins of 6 bits in 12 bytes
      const uint8_t* s = b + 4;
      const int scale = part < 4 ? s[part] & 63 : (s[part + 4] & 15) | (s[part - 4] >> 6) << 4;
      const int min = part < 4 ? s[part + 4] & 63 : (s[part + 4] >> 4) | (s[part] >> 6) << 4;
      sub.scale[0] = sub.scale[1] = static_cast<int8_t>(scale);
      sub.min[0] = sub.min[1] = static_cast<uint8_t>(min);
    }
  }
  return sub;
}

void DecodeCodes(DType dtype, const void* row, int64_t index, int8_t* codes) {
  if (FormatOf(dtype).super) {
    return SuperCodes(dtype, BlockAt(dtype, row, index / 8), static_cast<int>(index % 8), codes);
  }
  const uint8_t* b = BlockAt(dtype, row, index);
  switch (dtype) {
    case DType::kQ4_0:
      return Nibbles(b + 2, 8, codes);
    case DType::kQ4_1:
      return Nibbles(b + 4, 0, codes);
    case DType::kQ5_0:
      return NibblesWithHighBit(b + 2, b + 6, 16, codes);
    case DType::kQ5_1:
      return NibblesWithHighBit(b + 4, b + 8, 0, codes);
    default:
      std::memcpy(codes, b + 2, 32);
  }
}

void DecodeBlock(DType dtype, const void* row, int64_t index, Block32& block) {
  const BlockFormat& format = FormatOf(dtype);
  const BlockHalves halves = HalvesOf(dtype, row, format.super ? index / 8 : index);
  const float d = FromF16(halves.d);
  const float min = FromF16(halves.min);
  block.scale[0] = block.scale[1] = d;
  block.min[0] = block.min[1] = min;
  if (format.super) {
    const SubScales sub = SubScalesOf(dtype, row, index);
    for (int i = 0; i < 2; ++i) {
      block.scale[i] = d * static_cast<float>(sub.scale[i]);
      block.min[i] = format.has_min ? -(min * static_cast<float>(sub.min[i])) : 0.0f;
    }
  }
  DecodeCodes(dtype, row, index, block.codes);
}

}  // namespace banyan::ops
