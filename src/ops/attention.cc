// SPDX-License-Identifier: Apache-2.0
#include "ops/attention.h"

#include <algorithm>
#include <atomic>

#include "ops/parallel.h"

namespace banyan::ops {
namespace {

// Queries per part of a long prefill: many enough to reuse each key block, few enough to occupy
// the threads.
int QueriesPerPart(int64_t total_queries, int threads) {
  for (int queries = 64; queries > 16; queries /= 2)
    if (total_queries / queries >= threads) return queries;
  return 16;
}

// What all parts of one Attention call share.
AttentionTask MakeTask(const AttentionPlan& plan, const AttentionParams& params, const Tensor& q,
                       const PagedKv& cache, const Tensor& out) {
  const Tensor& keys = cache.keys;
  const Tensor& values = cache.values;
  AttentionTask task;
  task.q_stride = q.stride(0);
  task.q_head_stride = q.stride(1);
  task.group = static_cast<int32_t>(q.dim(1) / keys.dim(2));
  task.dtype = keys.dtype();
  task.page_size = plan.page_size;
  task.key_dim = static_cast<int32_t>(keys.dim(3));
  task.value_dim = static_cast<int32_t>(values.dim(3));
  task.key_page_stride = keys.stride(0);
  task.key_token_stride = keys.stride(1);
  task.value_page_stride = values.stride(0);
  task.value_token_stride = values.stride(1);
  task.scale = params.scale;
  task.softcap = params.softcap;
  task.window = params.window;
  task.sinks = params.sinks;
  task.chunk = params.chunk;
  task.out_stride = out.stride(0);
  task.out_head_stride = out.stride(1);
  return task;
}

const void* HeadData(const Tensor& pool, int64_t head) {
  return static_cast<const std::byte*>(pool.raw()) + Bytes(pool.dtype(), head * pool.stride(2));
}

// The task's operands that depend on the part and on the kv head.
void Aim(AttentionTask& task, const AttentionPlan& plan, const AttentionWork& work, int64_t kv_head,
         const AttentionParams& params, const Tensor& q, const PagedKv& cache, const Tensor& out) {
  const AttentionSequence& sequence = plan.sequences[work.sequence];
  const int64_t head = kv_head * task.group;
  const int64_t row = sequence.q_begin + work.query;
  task.q = q.data<float>() + row * task.q_stride + head * task.q_head_stride;
  task.out = out.data<float>() + row * task.out_stride + head * task.out_head_stride;
  task.rows = work.queries;
  task.position = sequence.kv_len - sequence.q_len + work.query;
  task.keys = HeadData(cache.keys, kv_head);
  task.values = HeadData(cache.values, kv_head);
  task.pages = sequence.pages.data();
  task.sink_logits = params.sink_logits.empty() ? nullptr : params.sink_logits.data<float>() + head;
  task.alibi_slopes =
      params.alibi_slopes.empty() ? nullptr : params.alibi_slopes.data<float>() + head;
  if (!params.chosen.counts.empty()) {
    task.chosen_stride = params.chosen.positions.stride(0);
    task.chosen = params.chosen.positions.data<int32_t>() + row * task.chosen_stride;
    task.chosen_counts = params.chosen.counts.data<int32_t>() + row;
  }
  task.segment_begin = work.segment_begin;
  task.segment_end = work.segment_end;
  task.partials = nullptr;
}

void CheckShapes(const AttentionPlan& plan, const AttentionParams& params, const Tensor& q,
                 const PagedKv& cache, const Tensor& out) {
  const Tensor& keys = cache.keys;
  const Tensor& values = cache.values;
  BANYAN_DCHECK(keys.rank() == 4 && values.rank() == 4 && keys.dtype() == values.dtype() &&
                    keys.dim(1) == plan.page_size && values.dim(1) == plan.page_size &&
                    keys.dim(2) == values.dim(2) && keys.stride(3) == 1 && values.stride(3) == 1,
                "Attention: keys {}, values {}, pages of {}", keys.shape().ToString(),
                values.shape().ToString(), plan.page_size);
  BANYAN_DCHECK(q.rank() == 3 && out.rank() == 3 && q.dtype() == DType::kF32 &&
                    out.dtype() == DType::kF32 && q.dim(2) == keys.dim(3) &&
                    out.dim(2) == values.dim(3) && q.dim(1) == out.dim(1) &&
                    q.dim(1) % keys.dim(2) == 0 && q.stride(2) == 1 && out.stride(2) == 1,
                "Attention: q {}, keys {}, out {}", q.shape().ToString(), keys.shape().ToString(),
                out.shape().ToString());
  for (const Tensor* per_head : {&params.sink_logits, &params.alibi_slopes})
    BANYAN_DCHECK(per_head->empty() || per_head->NumElements() == q.dim(1),
                  "Attention: {} values for {} heads", per_head->NumElements(), q.dim(1));
  const ChosenPositions& chosen = params.chosen;
  BANYAN_DCHECK(chosen.counts.empty() ||
                    (chosen.counts.dim(0) == q.dim(0) && chosen.positions.dim(0) == q.dim(0) &&
                     chosen.counts.dtype() == DType::kI32 && params.window == 0 &&
                     params.chunk == 0 && params.alibi_slopes.empty()),
                "Attention: {} chosen positions for q {}", chosen.positions.shape().ToString(),
                q.shape().ToString());
}

}  // namespace

AttentionPlan PlanAttention(const OpContext& context, std::span<const AttentionSequence> sequences,
                            int page_size, int most_keys) {
  AttentionPlan plan;
  plan.page_size = page_size;
  plan.sequences = sequences;
  const int segment = context.table->attention.segment;
  const int threads = Threads(context);
  const auto keys_of = [&](const AttentionSequence& sequence) {
    return most_keys > 0 ? std::min(sequence.kv_len, most_keys) : sequence.kv_len;
  };
  int64_t queries = 0;
  for (const AttentionSequence& sequence : sequences) {
    BANYAN_DCHECK(sequence.q_len >= 0 && sequence.q_len <= sequence.kv_len &&
                      static_cast<int64_t>(sequence.pages.size()) * page_size >= sequence.kv_len,
                  "a sequence of {} positions, {} of them new, in {} pages of {}", sequence.kv_len,
                  sequence.q_len, sequence.pages.size(), page_size);
    queries += sequence.q_len;
    const int64_t all = int64_t{sequence.q_len} * (2 * sequence.kv_len - sequence.q_len + 1) / 2;
    plan.cost += std::min(all, int64_t{sequence.q_len} * keys_of(sequence));
  }
  const int block = QueriesPerPart(queries, threads);
  // Parts of equal cost, four per thread, each kv head multiplying them: only a long row of keys
  // before few queries is split over the keys.
  const int64_t fair = std::max<int64_t>(plan.cost / (4 * threads), 1);
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    const AttentionSequence& sequence = sequences[s];
    const int keys = keys_of(sequence);
    const bool split = segment > 0 && threads > 1 && sequence.q_len <= 16 &&
                       int64_t{sequence.q_len} * keys > fair && keys > segment;
    for (int query = 0; query < sequence.q_len; query += block) {
      AttentionWork work;
      work.sequence = static_cast<int32_t>(s);
      work.query = query;
      work.queries = std::min(block, sequence.q_len - query);
      if (!split) {
        plan.work.push_back(work);
        continue;
      }
      const int segments = (keys + segment - 1) / segment;
      const auto step = static_cast<int>(
          std::clamp<int64_t>(fair / (int64_t{sequence.q_len} * segment), 1, segments));
      AttentionWork merge = work;
      merge.segment_end = segments;
      merge.partial = static_cast<int32_t>(plan.partials);
      plan.merges.push_back(merge);
      for (int begin = 0; begin < segments; begin += step) {
        work.segment_begin = begin;
        work.segment_end = std::min(begin + step, segments);
        work.partial = static_cast<int32_t>(plan.partials) + begin * work.queries;
        plan.work.push_back(work);
      }
      plan.partials += int64_t{segments} * work.queries;
    }
  }
  const auto cost = [&](const AttentionWork& work) {
    const AttentionSequence& sequence = sequences[work.sequence];
    const int last = sequence.kv_len - sequence.q_len + work.query + work.queries;
    const int64_t keys = work.partial >= 0
                             ? int64_t{work.segment_end - work.segment_begin} * segment
                             : std::min(last, keys_of(sequence));
    return keys * work.queries;
  };
  std::stable_sort(
      plan.work.begin(), plan.work.end(),
      [&](const AttentionWork& a, const AttentionWork& b) { return cost(a) > cost(b); });
  return plan;
}

void WritePages(const OpContext& context, const AttentionPlan& plan, const Tensor& x,
                const Tensor& pool) {
  BANYAN_DCHECK(x.rank() == 3 && pool.rank() == 4 && x.dim(1) == pool.dim(2) &&
                    x.dim(2) == pool.dim(3) && x.stride(2) == 1,
                "WritePages: {} into {}", x.shape().ToString(), pool.shape().ToString());
  const int64_t heads = pool.dim(2);
  const int64_t dim = pool.dim(3);
  const bool whole = x.stride(1) == dim && pool.stride(2) == dim;
  auto* target = static_cast<std::byte*>(pool.raw());
  const double nanoseconds = 0.3 * static_cast<double>(heads * dim);
  for (const AttentionSequence& sequence : plan.sequences) {
    ParallelItems(context, sequence.q_len, nanoseconds, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t position = sequence.kv_len - sequence.q_len + i;
        const PageId page = sequence.pages[static_cast<std::size_t>(position / plan.page_size)];
        BANYAN_DCHECK(page >= 0 && page < pool.dim(0), "position {} has page {}", position, page);
        const float* source = x.data<float>() + (sequence.q_begin + i) * x.stride(0);
        const int64_t base = page * pool.stride(0) + position % plan.page_size * pool.stride(1);
        for (int64_t h = 0; h < (whole ? 1 : heads); ++h)
          context.table->attention.store(source + h * x.stride(1), whole ? heads * dim : dim,
                                         pool.dtype(),
                                         target + Bytes(pool.dtype(), base + h * pool.stride(2)));
      }
    });
  }
}

void WriteKv(const OpContext& context, const AttentionPlan& plan, const Tensor& k, const Tensor& v,
             const PagedKv& cache) {
  WritePages(context, plan, k, cache.keys);
  WritePages(context, plan, v, cache.values);
}

void Attention(const OpContext& context, const AttentionPlan& plan, const AttentionParams& params,
               const Tensor& q, const PagedKv& cache, const Tensor& out) {
  CheckShapes(plan, params, q, cache, out);
  const AttentionKernels& kernels = context.table->attention;
  const AttentionTask common = MakeTask(plan, params, q, cache, out);
  const int64_t kv_heads = cache.keys.dim(2);
  const auto items = static_cast<int64_t>(plan.work.size()) * kv_heads;
  if (items == 0) return;

  int32_t max_queries = 1;
  for (const AttentionWork& work : plan.work) max_queries = std::max(max_queries, work.queries);
  const ScratchScope scope(context.scratch);
  const std::size_t workspace =
      kernels.workspace_bytes(max_queries, common.group, common.key_dim, common.value_dim);
  const double nanoseconds = 0.15 * static_cast<double>(plan.cost * q.dim(1)) *
                             static_cast<double>(common.key_dim + common.value_dim) / 2;
  const int threads = nanoseconds < kSerialNanoseconds ? 1 : Threads(context);
  std::byte* workspaces = context.scratch->GetBytes(workspace * static_cast<std::size_t>(threads));
  // States lie as [partial query][kv head][group].
  const int64_t state = plan.partials > 0 ? kernels.state_size(common.value_dim) : 0;
  const int64_t query_state = state * q.dim(1);
  float* partials = nullptr;
  if (plan.partials > 0)
    partials = reinterpret_cast<float*>(context.scratch->GetBytes(
        static_cast<std::size_t>(plan.partials * query_state) * sizeof(float)));
  if (context.measuring) return;
  const auto aim = [&](AttentionTask& task, const AttentionWork& work, int64_t kv_head) {
    Aim(task, plan, work, kv_head, params, q, cache, out);
    if (work.partial < 0) return;
    // Per kv head a run of its own, so that a part's states follow each other.
    task.partial_stride = int64_t{work.queries} * common.group * state;
    task.partials = partials + kv_head * plan.partials * common.group * state +
                    work.partial * common.group * state;
  };

  std::atomic<int64_t> next{0};
  const auto work_on = [&](int64_t unit) {
    AttentionTask task = common;
    task.workspace = workspaces + static_cast<std::size_t>(unit) * workspace;
    for (int64_t i = next.fetch_add(1, std::memory_order_relaxed); i < items;
         i = next.fetch_add(1, std::memory_order_relaxed)) {
      aim(task, plan.work[static_cast<std::size_t>(i / kv_heads)], i % kv_heads);
      kernels.run(task);
    }
  };
  // One unit per thread, each of which takes work until none is left: a thread that comes late
  // finds nothing and keeps nobody waiting.
  const auto units = [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) work_on(unit);
  };
  if (threads == 1) {
    work_on(0);
  } else {
    context.pool->ParallelFor(threads, 1, std::ref(units));
  }
  // Rows are merged by themselves: a latent's one kv head has work for all threads.
  for (const AttentionWork& merge : plan.merges) {
    const int64_t group = common.group;
    ParallelItems(context, kv_heads * merge.queries * group,
                  0.2 * static_cast<double>(merge.segment_end) * common.value_dim,
                  [&](int64_t begin, int64_t end) {
                    while (begin < end) {
                      const int64_t query = begin / group % merge.queries, head = begin % group;
                      const int64_t heads = std::min(group - head, end - begin);
                      AttentionTask task = common;
                      aim(task, merge, begin / group / merge.queries);
                      task.rows = 1;
                      task.group = static_cast<int32_t>(heads);
                      task.partials += (query * group + head) * state;
                      task.out += query * task.out_stride + head * task.out_head_stride;
                      if (task.sink_logits != nullptr) task.sink_logits += head;
                      kernels.merge(task);
                      begin += heads;
                    }
                  });
  }
}

}  // namespace banyan::ops
