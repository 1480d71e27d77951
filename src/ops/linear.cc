// SPDX-License-Identifier: Apache-2.0
#include "ops/linear.h"

#include <cstring>

#include "ops/parallel.h"
#include "ops/reference/half.h"
#include "ops/reference/linear_blocks.h"

namespace banyan::ops {
namespace {

// Elements [0, count) of a row as f32; count is whole blocks.
void DequantizeRow(DType dtype, const void* row, int64_t count, float* to) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(to, row, static_cast<std::size_t>(count) * sizeof(float));
      return;
    case DType::kF64:
      for (int64_t i = 0; i < count; ++i) {
        to[i] = static_cast<float>(static_cast<const double*>(row)[i]);
      }
      return;
    case DType::kF16:
      for (int64_t i = 0; i < count; ++i) {
        to[i] = FromF16(static_cast<const uint16_t*>(row)[i]);
      }
      return;
    case DType::kBF16:
      for (int64_t i = 0; i < count; ++i) {
        to[i] = FromBf16(static_cast<const uint16_t*>(row)[i]);
      }
      return;
    default:
      break;
  }
  BANYAN_CHECK(IsQuantized(dtype), "dequantizing {}", Name(dtype));
  const bool has_min = FormatOf(dtype).has_min;
  for (int64_t b = 0; b < count / 32; ++b) {
    Block32 block;
    DecodeBlock(dtype, row, b, block);
    for (int i = 0; i < 32; ++i) {
      const float product = block.scale[i / 16] * static_cast<float>(block.codes[i]);
      to[32 * b + i] = has_min ? product + block.min[i / 16] : product;
    }
  }
}

}  // namespace

StatusOr<PackedWeight> PackLinear(const OpContext& context, std::span<const Tensor> parts,
                                  DType compute) {
  if (parts.empty()) return InvalidArgument("a product of no matrices");
  const LinearKernel& kernel = context.table->linear[static_cast<int>(parts[0].dtype())];
  if (kernel.pack == nullptr) {
    return Unimplemented("products with {} weights", Name(parts[0].dtype()));
  }
  return kernel.pack(context, parts, compute);
}

void Linear(const OpContext& context, const Tensor& x, const PackedWeight& weight,
            const Tensor& bias, const Tensor& out) {
  BANYAN_DCHECK(x.rank() == 2 && out.rank() == 2 && x.dim(0) == out.dim(0) &&
                    x.dim(1) == weight.cols && out.dim(1) == weight.rows,
                "x {} times a matrix of {} rows and {} columns into {}", x.shape().ToString(),
                weight.rows, weight.cols, out.shape().ToString());
  BANYAN_DCHECK(x.dtype() == DType::kF32 && out.dtype() == DType::kF32, "activations are f32");
  BANYAN_DCHECK(bias.empty() || (bias.dtype() == DType::kF32 && bias.IsContiguous() &&
                                 bias.NumElements() == weight.rows),
                "bias {}", bias.shape().ToString());
  if (x.dim(0) == 0 || weight.rows == 0) return;
  context.table->linear[static_cast<int>(weight.format)].run(context, x.data<float>(), x.stride(0),
                                                             x.dim(0), weight, bias.data<float>(),
                                                             out.data<float>(), out.stride(0));
}

void EmbeddingLookup(const OpContext& context, std::span<const int32_t> ids, const Tensor& table,
                     const Tensor& out) {
  const int64_t dim = table.dim(1);
  BANYAN_DCHECK(out.dim(0) == static_cast<int64_t>(ids.size()) && out.dim(1) == dim,
                "{} rows of {} into {}", ids.size(), dim, out.shape().ToString());
  ParallelItems(context, static_cast<int64_t>(ids.size()), static_cast<double>(dim),
                [&](int64_t begin, int64_t end) {
                  for (int64_t i = begin; i < end; ++i) {
                    const int64_t id = ids[static_cast<std::size_t>(i)];
                    BANYAN_DCHECK(id >= 0 && id < table.dim(0), "row {} of {}", id, table.dim(0));
                    DequantizeRow(
                        table.dtype(),
                        table.data<std::byte>() + Bytes(table.dtype(), id * table.stride(0)), dim,
                        out.data<float>() + i * out.stride(0));
                  }
                });
}

void Dequantize(const Tensor& from, const Tensor& to) {
  BANYAN_DCHECK(from.IsContiguous() && to.IsContiguous() && from.NumElements() == to.NumElements(),
                "{} to {}", from.shape().ToString(), to.shape().ToString());
  DequantizeRow(from.dtype(), from.raw(), from.NumElements(), to.data<float>());
}

}  // namespace banyan::ops
