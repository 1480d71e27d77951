// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/linear.h"

#include <algorithm>
#include <cstring>

#include "base/thread_pool.h"
#include "kernels/cpu/linear_pack.h"
#include "ops/context.h"
#include "ops/parallel.h"
#include "ops/reference/linear.h"
#include "ops/reference/linear_blocks.h"

namespace banyan::kernels {
namespace {

using ops::OpContext;

// What one thread does in a nanosecond, for deciding how finely to split; low on purpose.
constexpr double kBytesPerNanosecond = 10;
constexpr double kMacsPerNanosecond = 30;

// Work on one weight byte shared by n tokens: a pass over memory, or the arithmetic.
double Nanoseconds(double bytes, double macs) {
  return std::max(bytes / kBytesPerNanosecond, macs / kMacsPerNanosecond);
}

StatusOr<PackedWeight> PackBlocks(const OpContext& context, std::span<const Tensor> parts,
                                  DType compute) {
  BANYAN_ASSIGN_OR_RETURN(PackedWeight weight, ops::reference::DescribeParts(parts, compute));
  const DType dtype = weight.format;
  const int64_t groups = (weight.rows + kGroupRows - 1) / kGroupRows;
  const int64_t group_bytes = LayoutOf(dtype).GroupBytes(weight.cols);
  BANYAN_ASSIGN_OR_RETURN(
      Buffer memory,
      context.backend->Allocate(static_cast<std::size_t>(groups * group_bytes), "a weight"));
  auto* packed = reinterpret_cast<uint8_t*>(memory.data());
  const auto row_at = [parts, dtype](int64_t row) -> const void* {
    std::size_t i = 0;
    while (row >= parts[i].dim(0)) row -= parts[i++].dim(0);
    return parts[i].data<std::byte>() + Bytes(dtype, row * parts[i].stride(0));
  };
  ops::ParallelItems(context, groups, static_cast<double>(group_bytes),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t g = begin; g < end; ++g) {
                         const void* rows[kGroupRows];
                         const int64_t first = g * kGroupRows;
                         const int64_t count = std::min<int64_t>(kGroupRows, weight.rows - first);
                         for (int64_t r = 0; r < count; ++r) rows[r] = row_at(first + r);
                         PackGroup(dtype, {rows, static_cast<std::size_t>(count)}, weight.cols,
                                   packed + g * group_bytes);
                       }
                     });
  weight.layout = kGroupedLayout;
  weight.data = Tensor(memory.data(), DType::kU8, {groups, group_bytes});
  weight.owned.push_back(std::move(memory));
  return weight;
}

void RunBlocks(const OpContext& context, const float* x, int64_t x_stride, int64_t n,
               const PackedWeight& weight, const float* bias, float* out, int64_t out_stride) {
  const LinearKernels& kernels = *context.table->cpu_linear;
  const ops::BlockFormat& format = ops::FormatOf(weight.format);
  const int64_t cols = weight.cols;
  const int64_t scale_groups = cols / format.scale_elements;
  const ops::ScratchScope scope(context.scratch);
  BlockProduct product;
  product.format = weight.format;
  product.packed = weight.data.data<uint8_t>();
  product.rows = weight.rows;
  product.bias = bias;
  product.out = out;
  product.out_stride = out_stride;
  QuantizedX& to = product.x;
  to.n = n;
  to.cols = cols;
  // Tile products read all tokens of a tile where the last tile has fewer.
  to.codes = context.scratch->Get(DType::kI8, {n * cols + kMaxTileTokens * 32}).data<int8_t>();
  to.d = context.scratch->Get(DType::kF32, {n * cols / 32 + kMaxTileTokens}).data<float>();
  if (format.offset != 0) {
    to.init = context.scratch->Get(DType::kI32, {n, scale_groups}).data<int32_t>();
  }
  if (format.has_min) {
    to.sums = context.scratch->Get(DType::kF32, {n * scale_groups + kMaxTileTokens}).data<float>();
  }
  ops::ParallelItems(context, n, static_cast<double>(cols) * 0.2, [&](int64_t begin, int64_t end) {
    kernels.quantize(x, x_stride, weight.format, to, begin, end);
  });
  const auto group_bytes = static_cast<double>(weight.data.dim(1));
  const auto macs = static_cast<double>(n * cols * kGroupRows);
  ops::ParallelItems(context, weight.data.dim(0), Nanoseconds(group_bytes, macs),
                     [&](int64_t begin, int64_t end) { kernels.blocks(product, begin, end); });
}

// bf16 by bf16 in hardware.
void RunBf16(const OpContext& context, FloatProduct product) {
  const LinearKernels& kernels = *context.table->cpu_linear;
  const int64_t cols = product.cols;
  const int64_t n = product.n;
  const int64_t stride = (cols + 31) / 32 * 32;
  const int64_t rows =
      n < kMaxTileTokens ? n : (n + kMaxTileTokens - 1) / kMaxTileTokens * kMaxTileTokens;
  auto* x = context.scratch->Get(DType::kBF16, {rows, stride}).data<uint16_t>();
  ops::ParallelItems(context, n, static_cast<double>(cols) * 0.2, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      kernels.to_bf16(product.x + t * product.x_stride, cols, x + t * stride);
      std::memset(x + t * stride + cols, 0, static_cast<std::size_t>(stride - cols) * 2);
    }
  });
  product.x_bf16 = x;
  product.x_stride = stride;
  const auto macs = static_cast<double>(n * cols * kGroupRows);
  ops::ParallelItems(context, (product.rows + kGroupRows - 1) / kGroupRows,
                     Nanoseconds(static_cast<double>(2 * cols * kGroupRows), macs),
                     [&](int64_t begin, int64_t end) { kernels.bf16(product, begin, end); });
}

void RunFloats(const OpContext& context, const float* x, int64_t x_stride, int64_t n,
               const PackedWeight& weight, const float* bias, float* out, int64_t out_stride) {
  const LinearKernels& kernels = *context.table->cpu_linear;
  const int64_t cols = weight.cols;
  const ops::ScratchScope scope(context.scratch);
  FloatProduct product;
  product.format = weight.format;
  product.weights = weight.data.raw();
  product.rows = weight.rows;
  product.cols = cols;
  product.x = x;
  product.x_stride = x_stride;
  product.n = n;
  product.bias = bias;
  product.out = out;
  product.out_stride = out_stride;
  if (weight.format == DType::kBF16 && weight.compute == DType::kBF16 && kernels.bf16 != nullptr) {
    return RunBf16(context, product);
  }
  if (weight.format != DType::kF32 && weight.compute != DType::kF32) {
    auto* rounded = context.scratch->Get(DType::kF32, {n, cols}).data<float>();
    ops::ParallelItems(
        context, n, static_cast<double>(cols) * 0.2, [&](int64_t begin, int64_t end) {
          for (int64_t t = begin; t < end; ++t) {
            kernels.round(x + t * x_stride, cols, weight.compute, rounded + t * cols);
          }
        });
    product.x = rounded;
    product.x_stride = cols;
  }
  const auto row_bytes = static_cast<double>(Bytes(weight.format, cols));
  ops::ParallelItems(context, weight.rows, Nanoseconds(row_bytes, static_cast<double>(n * cols)),
                     [&](int64_t begin, int64_t end) { kernels.floats(product, begin, end); });
}

}  // namespace

void SetLinear(ops::OpTable& table, const LinearKernels* kernels) {
  table.cpu_linear = kernels;
  for (int i = 0; i < static_cast<int>(DType::kCount); ++i) {
    const auto dtype = static_cast<DType>(i);
    if (IsQuantized(dtype)) table.linear[i] = {PackBlocks, RunBlocks};
    if (dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16) {
      table.linear[i] = {ops::reference::Pack, RunFloats};
    }
  }
}

}  // namespace banyan::kernels
