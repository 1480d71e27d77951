// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/linear_operand.h"

#include <algorithm>
#include <cstring>

#include "ops/reference/linear_blocks.h"

namespace banyan::kernels {
namespace {

// What one thread does in a nanosecond, for deciding how finely to split; low on purpose.
constexpr double kBytesPerNanosecond = 10;
constexpr double kMacsPerNanosecond = 30;
constexpr int kTileRows = 4;  // that LinearKernels::floats multiplies together

int64_t RoundUp(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

}  // namespace

Operand::Operand(const ops::OpContext& context, const PackedWeight& weight, int64_t rows,
                 const float* x, int64_t x_stride)
    : kernels_(context.table->cpu_linear),
      kind_(Kind::kFloats),
      format_(weight.format),
      compute_(weight.compute),
      cols_(weight.cols) {
  ops::Scratch& scratch = *context.scratch;
  if (IsQuantized(format_)) {
    kind_ = Kind::kBlocks;
    const ops::BlockFormat& format = ops::FormatOf(format_);
    scale_groups_ = cols_ / format.scale_elements;
    // Tile products read all tokens of a tile where the last tile has fewer.
    blocks_.codes = scratch.Get(DType::kI8, {rows * cols_ + kMaxTileTokens * 32}).data<int8_t>();
    blocks_.d = scratch.Get(DType::kF32, {rows * cols_ / 32 + kMaxTileTokens}).data<float>();
    if (format.offset != 0)
      blocks_.init = scratch.Get(DType::kI32, {rows, scale_groups_}).data<int32_t>();
    if (format.has_min)
      blocks_.sums =
          scratch.Get(DType::kF32, {rows * scale_groups_ + kMaxTileTokens}).data<float>();
  } else if (format_ == DType::kBF16 && compute_ == DType::kBF16 && kernels_->bf16 != nullptr) {
    kind_ = Kind::kBf16;
    stride_ = RoundUp(cols_, 32);
    bf16_ = scratch.Get(DType::kBF16, {rows + kMaxTileTokens, stride_}).data<uint16_t>();
  } else if (x != nullptr && (format_ == DType::kF32 || compute_ == DType::kF32)) {
    in_place_ = x;
    stride_ = x_stride;
  } else {
    stride_ = cols_;
    floats_ = scratch.Get(DType::kF32, {rows, cols_}).data<float>();
  }
}

QuantizedX Operand::BlocksOf(RowRange range) const {
  QuantizedX x = blocks_;
  x.n = range.count;
  x.cols = cols_;
  x.codes += range.begin * cols_;
  x.d += range.begin * (cols_ / 32);
  if (x.init != nullptr) x.init += range.begin * scale_groups_;
  if (x.sums != nullptr) x.sums += range.begin * scale_groups_;
  return x;
}

void Operand::Fill(RowRange range, int64_t row, const float* from) const {
  const int64_t at = (range.begin + row) * stride_;
  switch (kind_) {
    case Kind::kBlocks:
      kernels_->quantize(from, 0, format_, BlocksOf(range), row, row + 1);
      break;
    case Kind::kBf16:
      kernels_->to_bf16(from, cols_, bf16_ + at);
      std::memset(bf16_ + at + cols_, 0, static_cast<std::size_t>(stride_ - cols_) * 2);
      break;
    case Kind::kFloats:
      if (format_ == DType::kF32 || compute_ == DType::kF32) {
        std::memcpy(floats_ + at, from, static_cast<std::size_t>(cols_) * sizeof(float));
      } else {
        kernels_->round(from, cols_, compute_, floats_ + at);
      }
  }
}

Product::Product(const Operand& operand, RowRange range, const PackedWeight& weight,
                 const float* bias, float* out, int64_t out_stride)
    : kernels_(operand.kernels_), kind_(operand.kind_), item_rows_(kGroupRows) {
  double row_bytes = static_cast<double>(Bytes(weight.format, weight.cols));
  if (kind_ == Operand::Kind::kBlocks) {
    blocks_ = {.format = weight.format,
               .packed = weight.data.data<uint8_t>(),
               .rows = weight.rows,
               .x = operand.BlocksOf(range),
               .bias = bias,
               .out = out,
               .out_stride = out_stride};
    row_bytes = static_cast<double>(weight.data.dim(1)) / kGroupRows;
  } else {
    const int64_t at = range.begin * operand.stride_;
    floats_ = {.format = weight.format,
               .weights = weight.data.raw(),
               .rows = weight.rows,
               .cols = weight.cols,
               .x_stride = operand.stride_,
               .n = range.count,
               .bias = bias,
               .out = out,
               .out_stride = out_stride};
    if (kind_ == Operand::Kind::kBf16) {
      floats_.x_bf16 = operand.bf16_ + at;
    } else {
      floats_.x = (operand.in_place() ? operand.in_place_ : operand.floats_) + at;
      item_rows_ = kTileRows;
    }
  }
  items_ = (weight.rows + item_rows_ - 1) / item_rows_;
  const double macs = static_cast<double>(range.count * weight.cols);
  // A pass over memory, or the arithmetic.
  item_nanoseconds_ = static_cast<double>(item_rows_) *
                      std::max(row_bytes / kBytesPerNanosecond, macs / kMacsPerNanosecond);
}

void Product::Run(int64_t begin, int64_t end) const {
  switch (kind_) {
    case Operand::Kind::kBlocks:
      return kernels_->blocks(blocks_, begin, end);
    case Operand::Kind::kBf16:
      return kernels_->bf16(floats_, begin, end);
    case Operand::Kind::kFloats:
      return kernels_->floats(floats_, begin * item_rows_,
                              std::min(end * item_rows_, floats_.rows));
  }
}

}  // namespace banyan::kernels
