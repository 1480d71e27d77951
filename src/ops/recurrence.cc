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
// cache, if they lie together; in their pool they would crowd into some of its sets. One row reads
// the state once, in the order of memory.
constexpr int64_t kBlock = 64;
constexpr int64_t kMaxTogether = int64_t{256} * kBlock;  // floats on the stack

// `rows` rows of `width` floats.
void CopyRows(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t rows,
              int64_t width) {
  for (int64_t i = 0; i < rows; ++i)
    std::memcpy(to + i * to_stride, from + i * from_stride,
                static_cast<std::size_t>(width) * sizeof(float));
}

// Columns [begin, end) of one head of one sequence.
void Run(const OpContext& context, const RecurrenceInputs& inputs, const StateSequence& s,
         int64_t head, const Tensor& state, const Tensor& out, int64_t begin, int64_t end) {
  const int64_t key_dim = inputs.k.dim(2), value_dim = inputs.v.dim(2), width = end - begin;
  const int64_t key_heads = inputs.k.dim(1);
  const int64_t key_head =
      inputs.keys_in_turn ? head % key_heads : head / (inputs.v.dim(1) / key_heads);
  const int64_t offset = head * key_dim * value_dim + begin;
  float* const own = StateAt(state, s.slot) + offset;
  alignas(64) float block[kMaxTogether];
  const bool together = s.count > 1 && width < value_dim && key_dim * width <= kMaxTogether;
  float* const work = together ? block : own;
  const int64_t stride = together ? width : value_dim;
  if (s.fresh) {
    for (int64_t i = 0; i < key_dim; ++i) std::fill_n(work + i * stride, width, 0.0f);
  } else if (together) {
    CopyRows(own, value_dim, work, stride, key_dim, width);
  }
  RunAndSave(
      s,
      [&](int64_t first, int64_t last) {
        const auto at = [&](const Tensor& x, int64_t item) {
          return x.data<float>() + (s.begin + first) * x.stride(0) + item * x.stride(1);
        };
        RecurrenceTask task;
        task.rows = last - first;
        task.key_dim = key_dim;
        task.value_dim = stride;  // of which there are `width`
        task.q = at(inputs.q, key_head), task.q_stride = inputs.q.stride(0);
        task.k = at(inputs.k, key_head), task.k_stride = inputs.k.stride(0);
        task.v = at(inputs.v, head) + begin, task.v_stride = inputs.v.stride(0);
        task.decay = at(inputs.decay, head), task.decay_stride = inputs.decay.stride(0);
        if (!inputs.beta.empty())
          task.beta = at(inputs.beta, head), task.beta_stride = inputs.beta.stride(0);
        if (!inputs.skip.empty()) task.skip = inputs.skip.data<float>()[head];
        task.delta = inputs.delta;
        task.state = work;
        task.out = at(out, head) + begin, task.out_stride = out.stride(0);
        context.table->recurrence.run(task, 0, width);
      },
      [&](PageId slot) {
        CopyRows(work, stride, StateAt(state, slot) + offset, value_dim, key_dim, width);
      });
  if (together) CopyRows(work, stride, own, value_dim, key_dim, width);
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
