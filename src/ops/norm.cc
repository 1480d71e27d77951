// SPDX-License-Identifier: Apache-2.0
#include "ops/norm.h"

#include "ops/parallel.h"
#include "ops/rows.h"

namespace banyan::ops {
namespace {
constexpr double kNanosecondsPerElement = 0.3;

// 0 where one weight serves every row, `dim` where each head has its own.
int64_t AffineStride(const Rows& x, const Tensor& weight) {
  if (weight.empty()) return 0;
  BANYAN_DCHECK(weight.dtype() == DType::kF32 && weight.IsContiguous() && weight.dim(-1) == x.dim &&
                    (weight.rank() == 1 || (weight.rank() == 2 && weight.dim(0) == x.inner)),
                "a norm's weight {} for rows of {}", weight.shape().ToString(), x.dim);
  return weight.rank() == 2 ? x.dim : 0;
}
}  // namespace

void RmsNorm(const OpContext& context, const Tensor& x, const Tensor& weight, float eps,
             const Tensor& out) {
  const Rows in = AsRows(x);
  const Rows to = AsRows(out);
  BANYAN_DCHECK(SameRows(in, to), "RmsNorm: {} to {}", x.shape().ToString(),
                out.shape().ToString());
  const int64_t stride = AffineStride(in, weight);
  ParallelItems(context, in.count(), kNanosecondsPerElement * in.dim,
                [&](int64_t begin, int64_t end) {
                  context.table->norm.rms(in, DataOrNull(weight), stride, eps, to, begin, end);
                });
}

void AddRmsNorm(const OpContext& context, const Tensor& x, const Tensor& residual,
                const Tensor& weight, float eps, const Tensor& out) {
  const Rows in = AsRows(x);
  const Rows sum = AsRows(residual);
  const Rows to = AsRows(out);
  BANYAN_DCHECK(SameRows(in, to) && SameRows(in, sum) && AffineStride(in, weight) == 0,
                "AddRmsNorm: {} to {}", x.shape().ToString(), out.shape().ToString());
  ParallelItems(context, in.count(), 2 * kNanosecondsPerElement * in.dim,
                [&](int64_t begin, int64_t end) {
                  context.table->norm.add_rms(in, sum, DataOrNull(weight), eps, to, begin, end);
                });
}

void LayerNorm(const OpContext& context, const Tensor& x, const Tensor& weight, const Tensor& bias,
               float eps, const Tensor& out) {
  const Rows in = AsRows(x);
  const Rows to = AsRows(out);
  BANYAN_DCHECK(SameRows(in, to), "LayerNorm: {} to {}", x.shape().ToString(),
                out.shape().ToString());
  BANYAN_DCHECK(bias.empty() || weight.empty() || bias.shape() == weight.shape(),
                "LayerNorm: weight {}, bias {}", weight.shape().ToString(),
                bias.shape().ToString());
  const int64_t stride = AffineStride(in, weight.empty() ? bias : weight);
  ParallelItems(context, in.count(), 2 * kNanosecondsPerElement * in.dim,
                [&](int64_t begin, int64_t end) {
                  context.table->norm.layer(in, DataOrNull(weight), DataOrNull(bias), stride, eps,
                                            to, begin, end);
                });
}

}  // namespace banyan::ops
