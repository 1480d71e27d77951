// SPDX-License-Identifier: Apache-2.0
#include "ops/scan.h"

#include <cstring>

#include "ops/parallel.h"
#include "ops/rows.h"
#include "ops/state_walk.h"

namespace banyan::ops {
namespace {
constexpr double kNanosecondsPerState = 0.3;
constexpr int64_t kBlock = 64;  // channels of one item

// Channels [begin, end) of one sequence.
void Run(const OpContext& context, const ScanInputs& inputs, const StateSequence& s,
         const Tensor& state, const Tensor& out, int64_t begin, int64_t end) {
  const int64_t state_dim = inputs.b.dim(1);
  float* own = StateAt(state, s.slot);
  const auto bytes = static_cast<std::size_t>((end - begin) * state_dim) * sizeof(float);
  if (s.fresh) std::memset(own + begin * state_dim, 0, bytes);
  RunAndSave(
      s,
      [&](int64_t first, int64_t last) {
        const auto at = [&](const Tensor& x) {
          return x.empty() ? nullptr : x.data<float>() + (s.begin + first) * x.stride(0);
        };
        ScanTask task;
        task.rows = last - first;
        task.x = at(inputs.x), task.x_stride = inputs.x.stride(0);
        task.dt = at(inputs.dt), task.dt_stride = inputs.dt.stride(0);
        task.b = at(inputs.b), task.b_stride = inputs.b.stride(0);
        task.c = at(inputs.c), task.c_stride = inputs.c.stride(0);
        task.z = at(inputs.z), task.z_stride = inputs.z.empty() ? 0 : inputs.z.stride(0);
        task.a = inputs.a.data<float>();
        task.skip = inputs.skip.data<float>();
        task.state_dim = state_dim;
        task.state = own;
        task.out = at(out), task.out_stride = out.stride(0);
        context.table->scan.run(task, begin, end);
      },
      [&](PageId slot) {
        std::memcpy(StateAt(state, slot) + begin * state_dim, own + begin * state_dim, bytes);
      });
}
}  // namespace

void SelectiveScan(const OpContext& context, const ScanInputs& inputs,
                   std::span<const StateSequence> sequences, const Tensor& state,
                   const Tensor& out) {
  const int64_t channels = inputs.x.dim(1);
  const int64_t state_dim = inputs.b.dim(1);
  BANYAN_DCHECK(
      SameRows(AsRows(inputs.x), AsRows(out)) && SameRows(AsRows(inputs.x), AsRows(inputs.dt)) &&
          SameRows(AsRows(inputs.b), AsRows(inputs.c)) &&
          inputs.a.shape() == Shape({channels, state_dim}) && inputs.a.IsContiguous() &&
          inputs.skip.NumElements() == channels,
      "SelectiveScan: x {}, a {}", inputs.x.shape().ToString(), inputs.a.shape().ToString());
  CheckStates(sequences, inputs.x.dim(0), state, channels * state_dim);
  const int64_t blocks = (channels + kBlock - 1) / kBlock;
  int64_t rows = 0;
  for (const StateSequence& s : sequences) rows = std::max<int64_t>(rows, s.count);
  ParallelItems(context, static_cast<int64_t>(sequences.size()) * blocks,
                kNanosecondsPerState * kBlock * state_dim * rows, [&](int64_t begin, int64_t end) {
                  for (int64_t i = begin; i < end; ++i) {
                    const int64_t first = i % blocks * kBlock;
                    Run(context, inputs, sequences[i / blocks], state, out, first,
                        std::min(first + kBlock, channels));
                  }
                });
}

}  // namespace banyan::ops
