// SPDX-License-Identifier: Apache-2.0
#include "ops/sparse_index.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <functional>
#include <numeric>

#include "ops/parallel.h"

namespace banyan::ops {
namespace {

constexpr int64_t kKeysPerPart = 512;
constexpr int64_t kRowsPerPart = 256;               // queries times heads
constexpr int64_t kScoreBytes = int64_t{32} << 20;  // of the queries taken together

// Scores as integers in the same order; NaN below all.
uint32_t Ordered(float score) {
  const auto bits = std::bit_cast<uint32_t>(score);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0;
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

// The `most` best of n > most scores, ascending. `work`: n words.
void ChooseBest(const float* scores, int64_t n, int64_t most, uint32_t* work, int32_t* positions) {
  for (int64_t i = 0; i < n; ++i) work[i] = Ordered(scores[i] + 0.0f);  // -0 is 0
  std::nth_element(work, work + (most - 1), work + n, std::greater<>());
  const uint32_t least = work[most - 1];
  // Of those that equal the last one taken, so many are left for it.
  int64_t ties = most - std::count_if(work, work + most, [&](uint32_t x) { return x > least; });
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t score = Ordered(scores[i] + 0.0f);
    if (score > least || (score == least && ties-- > 0)) *positions++ = static_cast<int32_t>(i);
  }
}

// Queries [first, first + count) of a sequence, all of which see more than `most` positions.
void ChooseOf(const OpContext& context, const AttentionPlan& plan, const SparseIndexCall& call,
              const AttentionSequence& sequence, int64_t first, int64_t count,
              const ChosenPositions& out) {
  const IndexKernels& kernels = context.table->index;
  const int64_t heads = call.q.dim(1), dim = call.q.dim(2);
  const int64_t row = sequence.q_begin + first;
  const int64_t position = sequence.kv_len - sequence.q_len + first;
  const int64_t keys = position + count;  // that the last query sees
  const ScratchScope scope(context.scratch);
  const Tensor scores = context.scratch->Get(DType::kF32, {count, keys});
  auto* work = reinterpret_cast<uint32_t*>(
      context.scratch->GetBytes(static_cast<std::size_t>(count * keys) * sizeof(uint32_t)));

  IndexTask common;
  common.q_stride = call.q.stride(0);
  common.q_head_stride = call.q.stride(1);
  common.weights_stride = call.weights.stride(0);
  common.heads = heads;
  common.dim = dim;
  common.scale = call.scale;
  common.keys = call.keys.raw();
  common.dtype = call.keys.dtype();
  common.page_size = plan.page_size;
  common.page_stride = call.keys.stride(0);
  common.token_stride = call.keys.stride(1);
  common.pages = sequence.pages.data();
  common.scores_stride = keys;

  const int64_t queries = std::clamp<int64_t>(kRowsPerPart / heads, 1, count);
  const int64_t key_parts = (keys + kKeysPerPart - 1) / kKeysPerPart;
  const int64_t parts = (count + queries - 1) / queries * key_parts;
  const double nanoseconds = 0.05 * static_cast<double>(count * keys * heads * dim);
  const int threads = nanoseconds < kSerialNanoseconds ? 1 : Threads(context);
  const std::size_t workspace = kernels.workspace_bytes(queries, heads, dim);
  std::byte* workspaces = context.scratch->GetBytes(workspace * static_cast<std::size_t>(threads));
  if (context.measuring) return;
  std::atomic<int64_t> next{0};
  // One unit per thread, which takes parts until none is left.
  const auto units = [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      IndexTask task = common;
      task.workspace = workspaces + static_cast<std::size_t>(unit) * workspace;
      for (int64_t part = next++; part < parts; part = next++) {
        const int64_t query = part / key_parts * queries;
        task.rows = std::min(queries, count - query);
        task.key_begin = part % key_parts * kKeysPerPart;
        task.key_end = std::min(task.key_begin + kKeysPerPart, position + query + task.rows);
        task.q = call.q.data<float>() + (row + query) * task.q_stride;
        task.weights = call.weights.data<float>() + (row + query) * task.weights_stride;
        task.scores = scores.data<float>() + query * keys;
        if (task.key_begin < task.key_end) kernels.score(task);
      }
    }
  };
  if (threads == 1) {
    units(0, 1);
  } else {
    context.pool->ParallelFor(threads, 1, std::ref(units));
  }
  ParallelItems(context, count, 10.0 * static_cast<double>(keys), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      ChooseBest(scores.data<float>() + i * keys, position + i + 1, call.most, work + i * keys,
                 out.positions.data<int32_t>() + (row + i) * out.positions.stride(0));
  });
}

}  // namespace

void ChoosePositions(const OpContext& context, const AttentionPlan& plan,
                     const SparseIndexCall& call, const ChosenPositions& out) {
  BANYAN_DCHECK(call.q.rank() == 3 && call.weights.dim(0) == call.q.dim(0) &&
                    call.weights.dim(1) == call.q.dim(1) && call.keys.rank() == 4 &&
                    call.keys.dim(2) == 1 && call.keys.dim(3) == call.q.dim(2) &&
                    call.q.stride(2) == 1 && call.weights.stride(1) == 1 && call.most > 0,
                "ChoosePositions: q {}, weights {}, keys {}", call.q.shape().ToString(),
                call.weights.shape().ToString(), call.keys.shape().ToString());
  auto* counts = out.counts.data<int32_t>();
  for (const AttentionSequence& sequence : plan.sequences) {
    const int before = sequence.kv_len - sequence.q_len;
    const int all = std::clamp(call.most - before, 0, sequence.q_len);  // see no more than `most`
    for (int i = 0; i < sequence.q_len; ++i) {
      const int64_t row = sequence.q_begin + i;
      counts[row] = std::min(before + i + 1, call.most);
      if (i >= all || context.measuring) continue;
      int32_t* positions = out.positions.data<int32_t>() + row * out.positions.stride(0);
      std::iota(positions, positions + counts[row], 0);
    }
    const int64_t step = std::max<int64_t>(1, kScoreBytes / (int64_t{sequence.kv_len} * 4));
    for (int64_t i = all; i < sequence.q_len; i += step)
      ChooseOf(context, plan, call, sequence, i, std::min(step, sequence.q_len - i), out);
  }
}

}  // namespace banyan::ops
