// SPDX-License-Identifier: Apache-2.0
#include "ops/conv.h"

#include <cstring>

#include "ops/parallel.h"
#include "ops/rows.h"
#include "ops/state_walk.h"

namespace banyan::ops {
namespace {
constexpr double kNanosecondsPerTap = 0.15;

// The last `kept` rows of (what came before, the first `after` rows of x). `to` may be `from`.
void Carry(const float* from, const Rows& x, int64_t begin, int64_t after, int64_t kept,
           float* to) {
  const auto bytes = static_cast<std::size_t>(x.dim) * sizeof(float);
  for (int64_t j = 0; j < kept; ++j) {
    const int64_t row = after - kept + j;
    float* at = to + j * x.dim;
    if (row >= 0) {
      std::memcpy(at, x.data + (begin + row) * x.outer_stride, bytes);
    } else if (from != nullptr) {
      std::memmove(at, from + (kept + row) * x.dim, bytes);
    } else {
      std::memset(at, 0, bytes);
    }
  }
}
}  // namespace

void CausalConv(const OpContext& context, const ConvParams& params,
                std::span<const StateSequence> sequences, const Tensor& x, const Tensor& state,
                const Tensor& out) {
  const Rows in = AsRows(x);
  const Rows to = AsRows(out);
  const int64_t kernel = params.weight.dim(0);
  const int64_t kept = kernel - 1;
  BANYAN_DCHECK(SameRows(in, to) && in.inner == 1 && in.data != to.data &&
                    kernel >= kMinConvKernel && kernel <= kMaxConvKernel &&
                    params.weight.IsContiguous() && params.weight.dim(1) == in.dim &&
                    (params.bias.empty() || params.bias.NumElements() == in.dim),
                "CausalConv: {} by {}", x.shape().ToString(), params.weight.shape().ToString());
  CheckStates(sequences, x.dim(0), state, kept * in.dim);

  const RowOwners owners(sequences);
  ParallelItems(context, owners.rows(), kNanosecondsPerTap * kernel * in.dim,
                [&](int64_t begin, int64_t end) {
                  owners.ForEach(begin, end, [&](const StateSequence& s, int64_t a, int64_t b) {
                    ConvTask task;
                    task.x = in.data + s.begin * in.outer_stride;
                    task.x_stride = in.outer_stride;
                    task.history = s.fresh ? nullptr : StateAt(state, s.slot);
                    task.weight = params.weight.data<float>();
                    task.bias = DataOrNull(params.bias);
                    task.channels = in.dim;
                    task.kernel = kernel;
                    task.silu = params.silu;
                    task.out = to.data + s.begin * to.outer_stride;
                    task.out_stride = to.outer_stride;
                    context.table->conv.run(task, a, b);
                  });
                });
  // Only now, for every row has read the old states.
  const auto carry = [&](const StateSequence& s) {
    if (s.count == 0) return;
    float* own = StateAt(state, s.slot);
    const float* old = s.fresh ? nullptr : own;
    for (const StateSnapshot& snapshot : s.snapshots)
      Carry(old, in, s.begin, snapshot.after, kept, StateAt(state, snapshot.slot));
    Carry(old, in, s.begin, s.count, kept, own);
  };
  ParallelItems(context, static_cast<int64_t>(sequences.size()), kNanosecondsPerTap * kept * in.dim,
                [&](int64_t begin, int64_t end) {
                  for (const StateSequence& s : sequences.subspan(begin, end - begin)) carry(s);
                });
}

}  // namespace banyan::ops
