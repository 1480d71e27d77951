// SPDX-License-Identifier: Apache-2.0
#include "ops/head_linear.h"

#include "ops/linear.h"

namespace banyan::ops {
namespace {

void Run(const OpContext& context, const Tensor& x, const ExpertMatrix& matrix, int64_t first,
         const Tensor& out) {
  const auto head = [](const Tensor& t, int64_t h) {
    return Tensor(t.data<float>() + h * t.stride(1), DType::kF32, {t.dim(0), t.dim(2)},
                  {t.stride(0), 1});
  };
  for (int64_t h = 0; h < x.dim(1); ++h)
    Linear(context, head(x, h), matrix.experts[first + h], Tensor(), head(out, h));
}

}  // namespace

void FillHeadLinearReference(OpTable& table) { table.head_linear = {Run}; }

}  // namespace banyan::ops
