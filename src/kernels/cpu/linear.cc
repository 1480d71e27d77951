// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/linear.h"

#include "kernels/cpu/linear_operand.h"
#include "kernels/cpu/linear_pack.h"
#include "ops/context.h"
#include "ops/parallel.h"
#include "ops/reference/linear.h"

namespace banyan::kernels {
namespace {

using ops::OpContext;

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
  ops::ParallelItems(context, groups, static_cast<double>(group_bytes),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t g = begin; g < end; ++g)
                         PackGroup(parts, g, packed + g * group_bytes);
                     });
  weight.layout = kGroupedLayout;
  weight.data = Tensor(memory.data(), DType::kU8, {groups, group_bytes});
  weight.owned.push_back(std::move(memory));
  return weight;
}

void Run(const OpContext& context, const float* x, int64_t x_stride, int64_t n,
         const PackedWeight& weight, const float* bias, float* out, int64_t out_stride) {
  const ops::ScratchScope scope(context.scratch);
  const RowRange all{0, n};
  const Operand operand(context, weight, n, x, x_stride);
  if (!operand.in_place()) {
    ops::ParallelItems(context, n, operand.fill_nanoseconds(), [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) operand.Fill(all, t, x + t * x_stride);
    });
  }
  const Product product(operand, all, weight, bias, out, out_stride);
  if (context.pool != nullptr && context.order != nullptr && !context.measuring)
    context.pool->ReadAhead(context.order->Next(
        {weight.data.data<std::byte>(), static_cast<std::size_t>(weight.data.NumBytes())}));
  ops::ParallelItems(context, product.items(), product.item_nanoseconds(),
                     [&](int64_t begin, int64_t end) { product.Run(begin, end); });
}

}  // namespace

void SetLinear(ops::OpTable& table, const LinearKernels* kernels) {
  table.cpu_linear = kernels;
  for (int i = 0; i < static_cast<int>(DType::kCount); ++i) {
    const auto dtype = static_cast<DType>(i);
    if (IsQuantized(dtype)) table.linear[i] = {PackBlocks, Run};
    if (dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16) {
      table.linear[i] = {ops::reference::Pack, Run};
    }
  }
}

}  // namespace banyan::kernels
