// SPDX-License-Identifier: Apache-2.0
// Causal attention over paged keys and values. The plan is made once per step and cache group, then
// run by every layer of it.
//
// Each query row is reduced over key blocks at fixed absolute positions (online softmax, Milakov
// and Gimelshein 2018; Dao et al. 2022), so the result depends neither on chunking, nor on page
// size, nor on the batch.
#pragma once

#include <span>
#include <vector>

#include "cache/cache_spec.h"
#include "ops/context.h"

namespace banyan::ops {

// One sequence of the step: rows [q_begin, q_begin + q_len) of q are its positions [kv_len - q_len,
// kv_len).
struct AttentionSequence {
  int32_t q_begin = 0;
  int32_t q_len = 0;
  int32_t kv_len = 0;  // after this step's keys are written
  std::span<const PageId>
      pages;  // page of positions [i * page_size, (i + 1) * page_size); kNoPage where given back
};

// A part of one sequence's queries and keys. Segments are the kernels' fixed ranges of positions;
// which parts are made never shows in the result.
struct AttentionWork {
  int32_t sequence = 0;
  int32_t query = 0;  // first of `queries`, counted from q_begin
  int32_t queries = 0;
  int32_t segment_begin = 0;  // of the keys; split parts only
  int32_t segment_end = 0;
  int32_t partial = -1;  // index of the part's first state in the step's partials, or -1: not split
};

// Borrows `sequences` and their page tables, which must stay while the plan is used.
struct AttentionPlan {
  int page_size = 0;
  std::span<const AttentionSequence> sequences;
  std::vector<AttentionWork> work;    // largest first
  std::vector<AttentionWork> merges;  // one per sequence that is split over its keys
  int64_t partials = 0;               // states (of `queries` queries each) that the parts write
  int64_t cost = 0;                   // query-key pairs of one head
};

// One layer's pool: keys [pages, page_size, kv_heads, key_dim], values [..., value_dim]; f32, bf16
// or f16.
struct PagedKv {
  Tensor keys;
  Tensor values;
};

// The positions that each row of q sees, where a model chooses them (ops/sparse_index.h).
struct ChosenPositions {
  Tensor positions;  // [n, most] i32: of each row the first `counts`, ascending, none after its own
  Tensor counts;     // [n] i32, at least 1
};

struct AttentionParams {
  float scale = 1.0f;
  float softcap = 0.0f;  // 0: none; else logits = softcap * tanh(logits / softcap), before the mask
  int window = 0;        // 0: none; else a query sees the last `window` positions, its own included
  int sinks = 0;         // with a window or chunk: the first positions that stay visible
  int chunk = 0;         // 0: none; else a query sees only positions of its own chunk (Llama 4)
  // [heads] f32 or empty: one more logit per head in the softmax's sum (gpt-oss).
  Tensor sink_logits;
  // [heads] f32 or empty: ALiBi (Press et al. 2022) as Falcon has it: scale * (b - slope * query
  // position) is added to the scaled logits, b being slope * key position, rounded to bf16 before
  // and after.
  Tensor alibi_slopes;
  // Or empty; not with a window, chunks or slopes.
  ChosenPositions chosen;
};

// `most_keys`: what a query sees at most, 0: all before it. For how the work is split alone.
AttentionPlan PlanAttention(const OpContext& context, std::span<const AttentionSequence> sequences,
                            int page_size, int most_keys = 0);

// Stores x [n, heads, dim] (f32) at the rows' positions in a pool [pages, page_size, heads, dim],
// rounded to its dtype.
void WritePages(const OpContext& context, const AttentionPlan& plan, const Tensor& x,
                const Tensor& pool);

// Stores k [n, kv_heads, key_dim] and v [n, kv_heads, value_dim] (f32) at their positions, rounded
// to the pool's dtype.
void WriteKv(const OpContext& context, const AttentionPlan& plan, const Tensor& k, const Tensor& v,
             const PagedKv& cache);

// q: [n, heads, key_dim] f32, heads a multiple of kv_heads; out: [n, heads, value_dim] f32.
void Attention(const OpContext& context, const AttentionPlan& plan, const AttentionParams& params,
               const Tensor& q, const PagedKv& cache, const Tensor& out);

}  // namespace banyan::ops
