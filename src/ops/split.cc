// SPDX-License-Identifier: Apache-2.0
#include "ops/split.h"

#include <cmath>

#include "ops/parallel.h"
#include "ops/reference/half.h"
#include "ops/rows.h"

namespace banyan::ops {

void SplitToBf16(const OpContext& context, const Tensor& x, const Tensor& out) {
  const Rows in = AsRows(x), to = AsRows(out);
  BANYAN_DCHECK(
      in.inner == 1 && to.outer == in.outer && to.inner == in.dim && to.dim == kSplitParts,
      "SplitToBf16: {} to {}", x.shape().ToString(), out.shape().ToString());
  constexpr double kNanosecondsPerElement = 5.0;
  ParallelItems(context, in.outer, kNanosecondsPerElement * static_cast<double>(in.dim),
                [&](int64_t begin, int64_t end) {
                  for (int64_t item = begin * in.dim; item < end * in.dim; ++item) {
                    float rest = in.at(item / in.dim)[item % in.dim];
                    for (int part = 0; part < kSplitParts; ++part) {
                      const float head = FromBf16(ToBf16(rest));
                      to.at(item)[part] = head;
                      rest = std::isfinite(head) ? rest - head : 0.0f;
                    }
                  }
                });
}

}  // namespace banyan::ops
