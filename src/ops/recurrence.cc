// SPDX-License-Identifier: Apache-2.0
#include "ops/recurrence.h"

#include <cstring>

#include "ops/parallel.h"
#include "ops/rows.h"
#include "ops/state_walk.h"

namespace banyan::ops {
namespace {
constexpr double kNanosecondsPerState = 0.1;
// Columns of one item when rows follow each other: key_dim rows of them stay in the first-level
// cache. One row reads the state once, in the order of memory.
constexpr int64_t kBlock = 64;

// Columns [begin, end) of one head of one sequence.
void Run(const OpContext& context, const RecurrenceInputs& inputs, const StateSequence& s,
         int64_t head, const Tensor& state, const Tensor& out, int64_t begin, int64_t end) {
  const int64_t key_dim = inputs.k.dim(2), value_dim = inputs.v.dim(2);
  const int64_t key_heads = inputs.k.dim(1);
  const int64_t key_head =
      inputs.keys_in_turn ? head % key_heads : head / (inputs.v.dim(1) / key_heads);
  const int64_t offset = head * key_dim * value_dim;
  float* own = StateAt(state, s.slot) + offset;
  const auto each_row = [&](auto&& fn) {
    const auto bytes = static_cast<std::size_t>(end - begin) * sizeof(float);
    for (int64_t i = begin; i < begin + key_dim * value_dim; i += value_dim) fn(i, bytes);
  };
  if (s.fresh) each_row([&](int64_t at, std::size_t bytes) { std::memset(own + at, 0, bytes); });
  RunAndSave(
      s,
      [&](int64_t first, int64_t last) {
        const auto at = [&](const Tensor& x, int64_t item) {
          return x.data<float>() + (s.begin + first) * x.stride(0) + item * x.stride(1);
        };
        RecurrenceTask task;
        task.rows = last - first;
        task.key_dim = key_dim;
        task.value_dim = value_dim;
        task.q = at(inputs.q, key_head), task.q_stride = inputs.q.stride(0);
        task.k = at(inputs.k, key_head), task.k_stride = inputs.k.stride(0);
        task.v = at(inputs.v, head), task.v_stride = inputs.v.stride(0);
        task.decay = at(inputs.decay, head), task.decay_stride = inputs.decay.stride(0);
        if (!inputs.beta.empty())
          task.beta = at(inputs.beta, head), task.beta_stride = inputs.beta.stride(0);
        if (!inputs.skip.empty()) task.skip = inputs.skip.data<float>()[head];
        task.delta = inputs.delta;
        task.state = own;
        task.out = at(out, head), task.out_stride = out.stride(0);
        context.table->recurrence.run(task, begin, end);
      },
      [&](PageId slot) {
        float* to = StateAt(state, slot) + offset;
        each_row([&](int64_t at, std::size_t bytes) { std::memcpy(to + at, own + at, bytes); });
      });
}
}  // namespace

void LinearRecurrence(const OpContext& context, const RecurrenceInputs& inputs,
                      std::span<const StateSequence> sequences, const Tensor& state,
                      const Tensor& out) {
  const int64_t n = inputs.v.dim(0), heads = inputs.v.dim(1), value_dim = inputs.v.dim(2);
  const int64_t key_dim = inputs.k.dim(2);
  BANYAN_DCHECK(SameRows(AsRows(inputs.v), AsRows(out)) &&
                    SameRows(AsRows(inputs.q), AsRows(inputs.k)) && inputs.k.dim(0) == n &&
                    heads % inputs.k.dim(1) == 0 && inputs.decay.shape() == Shape({n, heads}) &&
                    (inputs.beta.empty() || inputs.beta.shape() == Shape({n, heads})) &&
                    (inputs.skip.empty() || inputs.skip.NumElements() == heads),
                "LinearRecurrence: k {}, v {}, decay {}", inputs.k.shape().ToString(),
                inputs.v.shape().ToString(), inputs.decay.shape().ToString());
  CheckStates(sequences, n, state, heads * key_dim * value_dim);
  int64_t rows = 0;
  for (const StateSequence& s : sequences) rows = std::max<int64_t>(rows, s.count);
  const int64_t width = rows > 1 ? std::min(kBlock, value_dim) : value_dim;
  const int64_t blocks = (value_dim + width - 1) / width;
  ParallelItems(context, static_cast<int64_t>(sequences.size()) * heads * blocks,
                kNanosecondsPerState * key_dim * width * rows, [&](int64_t begin, int64_t end) {
                  for (int64_t i = begin; i < end; ++i) {
                    const int64_t head = i / blocks % heads;
                    const int64_t first = i % blocks * width;
                    Run(context, inputs, sequences[i / blocks / heads], head, state, out, first,
                        std::min(first + width, value_dim));
                  }
                });
}

void StepAndDecay(const OpContext& context, const Tensor& x, const Tensor& bias, const Tensor& a,
                  float low, float high, const Tensor& dt, const Tensor& decay) {
  constexpr double kNanosecondsPerElement = 3.0;
  const Rows in = AsRows(x), steps = AsRows(dt), factors = AsRows(decay);
  BANYAN_DCHECK(SameRows(in, steps) && SameRows(in, factors) && in.inner == 1 &&
                    bias.NumElements() == in.dim && a.NumElements() == in.dim,
                "StepAndDecay: {}", x.shape().ToString());
  ParallelItems(context, in.count(), kNanosecondsPerElement * in.dim,
                [&](int64_t begin, int64_t end) {
                  context.table->recurrence.decay(in, bias.data<float>(), a.data<float>(), low,
                                                  high, steps, factors, begin, end);
                });
}

}  // namespace banyan::ops
