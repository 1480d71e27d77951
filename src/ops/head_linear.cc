// SPDX-License-Identifier: Apache-2.0
#include "ops/head_linear.h"

namespace banyan::ops {

void HeadLinear(const OpContext& context, const Tensor& x, const ExpertMatrix& matrix,
                int64_t first, const Tensor& out) {
  BANYAN_DCHECK(x.rank() == 3 && out.rank() == 3 && x.dim(0) == out.dim(0) &&
                    x.dim(1) == out.dim(1) && x.dim(2) == matrix.cols() &&
                    out.dim(2) == matrix.rows() && x.stride(2) == 1 && out.stride(2) == 1 &&
                    first + x.dim(1) <= static_cast<int64_t>(matrix.experts.size()),
                "HeadLinear: {} to {} by {} matrices [{}, {}] from {}", x.shape().ToString(),
                out.shape().ToString(), matrix.experts.size(), matrix.rows(), matrix.cols(), first);
  if (x.NumElements() > 0) context.table->head_linear.run(context, x, matrix, first, out);
}

}  // namespace banyan::ops
