// SPDX-License-Identifier: Apache-2.0
#include "ops/reference/linear.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/parallel.h"
#include "ops/reference/half.h"
#include "ops/reference/linear_blocks.h"

namespace banyan::ops {
namespace reference {
namespace {

float Element(DType dtype, const void* row, int64_t k) {
  switch (dtype) {
    case DType::kF16:
      return FromF16(static_cast<const uint16_t*>(row)[k]);
    case DType::kBF16:
      return FromBf16(static_cast<const uint16_t*>(row)[k]);
    default:
      return static_cast<const float*>(row)[k];
  }
}

float DotFloats(DType dtype, const void* row, const float* x, int64_t cols) {
  float lane[16] = {};
  for (int64_t k = 0; k < cols; ++k) {
    lane[k % 16] = std::fmaf(Element(dtype, row, k), x[k], lane[k % 16]);
  }
  for (int width = 8; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) lane[l] += lane[l + width];
  }
  return lane[0];
}

// One row of x as codes; sums[i] is that of elements [16 i, 16 i + 16).
struct Quantized {
  const int8_t* codes;
  const float* d;
  const int32_t* sums;
};

// acc after 32 more elements.
float AddBlock(const BlockFormat& format, const Block32& block, const Quantized& x, int64_t b,
               float acc) {
  const int step = format.scale_elements;
  for (int first = 0; first < 32; first += step) {
    int32_t sum = 0;
    for (int i = first; i < first + step; ++i) sum += block.codes[i] * x.codes[32 * b + i];
    acc = std::fmaf(static_cast<float>(sum) * block.scale[first / 16], x.d[b], acc);
    if (format.has_min) {
      const int32_t x_sum =
          step == 32 ? x.sums[2 * b] + x.sums[2 * b + 1] : x.sums[2 * b + first / 16];
      acc = std::fmaf(block.min[first / 16], x.d[b] * static_cast<float>(x_sum), acc);
    }
  }
  return acc;
}

void RunBlocks(const OpContext& context, const float* x, int64_t x_stride, int64_t n,
               const PackedWeight& weight, const float* bias, float* out, int64_t out_stride) {
  const int64_t cols = weight.cols;
  const int64_t blocks = cols / 32;
  const BlockFormat& format = FormatOf(weight.format);
  auto* codes = context.scratch->Get(DType::kI8, {n, cols}).data<int8_t>();
  auto* d = context.scratch->Get(DType::kF32, {n, blocks}).data<float>();
  auto* sums = context.scratch->Get(DType::kI32, {n, 2 * blocks}).data<int32_t>();
  for (int64_t t = 0; t < n; ++t) {
    QuantizeRow(x + t * x_stride, cols, codes + t * cols, d + t * blocks);
    for (int64_t i = 0; i < 2 * blocks; ++i) {
      int32_t sum = 0;
      for (int k = 0; k < 16; ++k) sum += codes[t * cols + 16 * i + k];
      sums[t * 2 * blocks + i] = sum;
    }
  }
  const int64_t row_bytes = Bytes(weight.format, cols);
  ParallelItems(
      context, weight.rows, static_cast<double>(n * cols), [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const std::byte* row = weight.data.data<std::byte>() + r * row_bytes;
          for (int64_t t = 0; t < n; ++t) out[t * out_stride + r] = 0.0f;
          for (int64_t b = 0; b < blocks; ++b) {
            Block32 block;
            DecodeBlock(weight.format, row, b, block);
            for (int64_t t = 0; t < n; ++t) {
              float& acc = out[t * out_stride + r];
              acc = AddBlock(format, block,
                             {codes + t * cols, d + t * blocks, sums + t * 2 * blocks}, b, acc);
            }
          }
          if (bias == nullptr) continue;
          for (int64_t t = 0; t < n; ++t) out[t * out_stride + r] += bias[r];
        }
      });
}

Status CheckScales(const Tensor& part) {
  const DType dtype = part.dtype();
  const int64_t row_blocks = part.dim(1) / Info(dtype).block_elements;
  for (int64_t r = 0; r < part.dim(0); ++r) {
    const std::byte* row = part.data<std::byte>() + Bytes(dtype, r * part.stride(0));
    const int64_t b = FirstNotFinite(dtype, row, row_blocks);
    if (b < 0) continue;
    return InvalidArgument("a {} block has a scale that is not finite (row {}, column {})",
                           Name(dtype), r, b * Info(dtype).block_elements);
  }
  return OkStatus();
}

}  // namespace

void QuantizeRow(const float* x, int64_t cols, int8_t* codes, float* d) {
  for (int64_t b = 0; b < cols / 32; ++b) {
    const float* from = x + 32 * b;
    int8_t* to = codes + 32 * b;
    float largest = 0.0f;
    bool finite = true;
    for (int i = 0; i < 32; ++i) {
      largest = std::max(largest, std::fabs(from[i]));
      finite = finite && std::isfinite(from[i]);
    }
    d[b] = largest / 127.0f;
    if (!finite || largest < 1e-36f) {
      d[b] = finite ? 0.0f : std::nanf("");
      std::memset(to, 0, 32);
      continue;
    }
    const float inverse = 127.0f / largest;
    for (int i = 0; i < 32; ++i) to[i] = static_cast<int8_t>(std::nearbyintf(from[i] * inverse));
  }
}

void RoundRow(const float* x, int64_t cols, DType compute, float* rounded) {
  for (int64_t k = 0; k < cols; ++k) {
    switch (compute) {
      case DType::kBF16:
        rounded[k] = FromBf16(ToBf16(x[k]));
        break;
      case DType::kF16:
        rounded[k] = FromF16(ToF16(x[k]));
        break;
      default:
        rounded[k] = x[k];
    }
  }
}

StatusOr<PackedWeight> DescribeParts(std::span<const Tensor> parts, DType compute) {
  if (parts.empty()) return InvalidArgument("a product of no matrices");
  PackedWeight weight;
  weight.format = parts[0].dtype();
  weight.compute = compute;
  const DType dtype = weight.format;
  if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16 &&
      !IsQuantized(dtype)) {
    return Unimplemented("products with {} weights", Name(dtype));
  }
  for (const Tensor& part : parts) {
    if (part.dtype() != dtype || part.rank() != 2 || part.dim(1) != parts[0].dim(1) ||
        (part.dim(1) != 1 && part.stride(1) != 1)) {
      return InvalidArgument("matrices {} {} and {} {} do not stack", Name(dtype),
                             parts[0].shape().ToString(), Name(part.dtype()),
                             part.shape().ToString());
    }
    if (part.dim(1) % Info(dtype).block_elements != 0) {
      return InvalidArgument("rows of {} elements are not whole {} blocks of {}", part.dim(1),
                             Name(dtype), Info(dtype).block_elements);
    }
    if (IsQuantized(dtype)) BANYAN_RETURN_IF_ERROR(CheckScales(part));
    weight.rows += part.dim(0);
  }
  weight.cols = parts[0].dim(1);
  return weight;
}

StatusOr<PackedWeight> Pack(const OpContext& context, std::span<const Tensor> parts,
                            DType compute) {
  BANYAN_ASSIGN_OR_RETURN(PackedWeight weight, DescribeParts(parts, compute));
  const Shape shape{weight.rows, weight.cols};
  if (parts.size() == 1 && parts[0].IsContiguous()) {
    weight.data = Tensor(parts[0].raw(), weight.format, shape);
    return weight;
  }
  const int64_t row_bytes = Bytes(weight.format, weight.cols);
  BANYAN_ASSIGN_OR_RETURN(
      Buffer memory,
      context.backend->Allocate(static_cast<std::size_t>(row_bytes * weight.rows), "a weight"));
  std::byte* to = memory.data();
  for (const Tensor& part : parts) {
    for (int64_t r = 0; r < part.dim(0); ++r, to += row_bytes) {
      std::memcpy(to, part.data<std::byte>() + Bytes(part.dtype(), r * part.stride(0)),
                  static_cast<std::size_t>(row_bytes));
    }
  }
  weight.data = Tensor(memory.data(), weight.format, shape);
  weight.owned.push_back(std::move(memory));
  return weight;
}

void Run(const OpContext& context, const float* x, int64_t x_stride, int64_t n,
         const PackedWeight& weight, const float* bias, float* out, int64_t out_stride) {
  if (IsQuantized(weight.format)) {
    return RunBlocks(context, x, x_stride, n, weight, bias, out, out_stride);
  }
  const int64_t cols = weight.cols;
  auto* rounded = context.scratch->Get(DType::kF32, {n, cols}).data<float>();
  const DType round = weight.format == DType::kF32 ? DType::kF32 : weight.compute;
  for (int64_t t = 0; t < n; ++t) RoundRow(x + t * x_stride, cols, round, rounded + t * cols);
  const int64_t row_bytes = Bytes(weight.format, cols);
  ParallelItems(context, weight.rows, static_cast<double>(n * cols),
                [&](int64_t begin, int64_t end) {
                  for (int64_t r = begin; r < end; ++r) {
                    const std::byte* row = weight.data.data<std::byte>() + r * row_bytes;
                    for (int64_t t = 0; t < n; ++t) {
                      const float sum = DotFloats(weight.format, row, rounded + t * cols, cols);
                      out[t * out_stride + r] = bias == nullptr ? sum : sum + bias[r];
                    }
                  }
                });
}

}  // namespace reference

void FillLinearReference(OpTable& table) {
  for (LinearKernel& kernel : table.linear) kernel = {reference::Pack, reference::Run};
}

}  // namespace banyan::ops
