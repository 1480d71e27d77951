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

struct AttentionPlan {
  int page_size = 0;
  std::span<const AttentionSequence> sequences;
  std::vector<int32_t> work;  // the kernel's own partition of the step
};

// One layer's pool: keys [pages, page_size, kv_heads, key_dim], values [..., value_dim]; f32, bf16
// or f16.
struct PagedKv {
  Tensor keys;
  Tensor values;
};

struct AttentionParams {
  float scale = 1.0f;
  float softcap = 0.0f;  // 0: none; else logits = softcap * tanh(logits / softcap), before the mask
  int window = 0;        // 0: none; else a query sees the last `window` positions, its own included
  int sinks = 0;         // with a window: the first positions that stay visible
  int chunk = 0;         // 0: none; else a query sees only positions of its own chunk (Llama 4)
  Tensor
      sink_logits;  // [heads] f32 or empty: one more logit per head in the softmax's sum (gpt-oss)
};

AttentionPlan PlanAttention(const OpContext& context, std::span<const AttentionSequence> sequences,
                            int page_size);

// Stores k [n, kv_heads, key_dim] and v [n, kv_heads, value_dim] (f32) at their positions, rounded
// to the pool's dtype.
void WriteKv(const OpContext& context, const AttentionPlan& plan, const Tensor& k, const Tensor& v,
             const PagedKv& cache);

// q: [n, heads, key_dim] f32, heads a multiple of kv_heads; out: [n, heads, value_dim] f32.
void Attention(const OpContext& context, const AttentionPlan& plan, const AttentionParams& params,
               const Tensor& q, const PagedKv& cache, const Tensor& out);

}  // namespace banyan::ops
