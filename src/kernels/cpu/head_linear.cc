// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/head_linear.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/linear_operand.h"
#include "ops/head_linear.h"
#include "ops/parallel.h"

namespace banyan::kernels {
namespace {

using ops::OpContext;

// The operand's rows lie head by head, so that those of one head are multiplied together.
void Run(const OpContext& context, const Tensor& x, const ops::ExpertMatrix& matrix, int64_t first,
         const Tensor& out) {
  const int64_t n = x.dim(0), heads = x.dim(1);
  const float* from = x.data<float>();
  const ops::ScratchScope scope(context.scratch);
  // A single row's heads may be read where they are.
  const Operand operand(context, matrix.experts[first], n * heads, n == 1 ? from : nullptr,
                        x.stride(1));
  if (!operand.in_place()) {
    ops::ParallelItems(
        context, n * heads, operand.fill_nanoseconds(), [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            const int64_t h = i / n, row = i % n;
            operand.Fill({h * n, n}, row, from + row * x.stride(0) + h * x.stride(1));
          }
        });
  }
  std::vector<Product> products;
  products.reserve(static_cast<std::size_t>(heads));
  for (int64_t h = 0; h < heads; ++h)
    products.emplace_back(operand, RowRange{h * n, n}, matrix.experts[first + h], nullptr,
                          out.data<float>() + h * out.stride(1), out.stride(0));
  const int64_t each = products[0].items();
  ops::ParallelItems(context, heads * each, products[0].item_nanoseconds(),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t h = begin / each; begin < end; ++h) {
                         const int64_t stop = std::min(end, (h + 1) * each);
                         products[h].Run(begin - h * each, stop - h * each);
                         begin = stop;
                       }
                     });
}

}  // namespace

void SetHeadLinear(ops::OpTable& table) { table.head_linear = {Run}; }

}  // namespace banyan::kernels
