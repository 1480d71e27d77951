// SPDX-License-Identifier: Apache-2.0
// What drivers of matrix products share (linear.cc, moe.cc): x in the form that products with one
// weight format read, filled once, and products of some of its rows with a weight, cut in items
// that may be run in any order on any threads.
#pragma once

#include <cstdint>

#include "kernels/cpu/linear_kernels.h"
#include "ops/context.h"
#include "tensor/packed_weight.h"

namespace banyan::kernels {

// Rows of x that are multiplied together: tiles of tokens do not cross its ends.
struct RowRange {
  int64_t begin = 0;
  int64_t count = 0;
};

class Operand {
 public:
  // `rows` rows to be multiplied with weights like `weight`, in the context's scratch memory. Where
  // the kernels take floats as they are and `x` is not null, its rows are read in place.
  Operand(const ops::OpContext& context, const PackedWeight& weight, int64_t rows,
          const float* x = nullptr, int64_t x_stride = 0);

  // Serves weights of this one's format too.
  bool Serves(const PackedWeight& weight) const {
    return weight.format == format_ && weight.compute == compute_;
  }
  bool in_place() const { return in_place_ != nullptr; }  // and not to be filled
  // Row `row` of `range` (counted from its begin), from its floats.
  void Fill(RowRange range, int64_t row, const float* from) const;
  double fill_nanoseconds() const { return static_cast<double>(cols_) * 0.2; }  // of a row

 private:
  friend class Product;
  enum class Kind : uint8_t { kBlocks, kBf16, kFloats };

  QuantizedX BlocksOf(RowRange range) const;

  const LinearKernels* kernels_;
  Kind kind_;
  DType format_, compute_;
  int64_t cols_;
  int64_t scale_groups_ = 0;  // of a row in `blocks_`
  QuantizedX blocks_;         // of all rows: pointers alone
  uint16_t* bf16_ = nullptr;
  float* floats_ = nullptr;
  const float* in_place_ = nullptr;
  int64_t stride_ = 0;  // of any of the three
};

class Product {
 public:
  // The rows of `range` times `weight`, to out [count, weight.rows].
  Product(const Operand& operand, RowRange range, const PackedWeight& weight, const float* bias,
          float* out, int64_t out_stride);

  int64_t items() const { return items_; }
  double item_nanoseconds() const { return item_nanoseconds_; }
  void Run(int64_t begin, int64_t end) const;

 private:
  const LinearKernels* kernels_;
  Operand::Kind kind_;
  BlockProduct blocks_;
  FloatProduct floats_;
  int64_t item_rows_;
  int64_t items_;
  double item_nanoseconds_;
};

}  // namespace banyan::kernels
