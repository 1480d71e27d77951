// SPDX-License-Identifier: Apache-2.0
// Lightning attention in blocks, with tables of decays: as transformers computes MiniMax, whose
// checkpoints hold the tables, each entry rounded by itself. With exact decays the same is a linear
// recurrence (ops/recurrence.h), which needs no keys and is what serves; this is for comparing.
//
// Positions are taken in blocks of `block`. With i the query's place in its block:
//   out = query[i] * S^T q + sum over keys j of the block up to the query's own of
//         distance[i - j] * (q . k_j) v_j
//   S = whole * S + sum over j of key[j] * k_j v_j^T            after each block
#pragma once

#include "ops/attention.h"
#include "ops/state.h"

namespace banyan::ops {

// f32, contiguous.
struct LightningDecays {
  Tensor query;     // [heads, block]
  Tensor key;       // [heads, block]
  Tensor distance;  // [heads, block]
  Tensor whole;     // [heads]
};

// q, out: [n, heads, dim] f32. The step's keys and values are in `cache` (f32), at least from the
// block of each sequence's first row on. `sequences` and `states` are the same rows in the same
// order; the state S is [slots, heads * dim * dim] f32. One order of sums per row, whatever the
// step.
void LightningBlocks(const OpContext& context, const LightningDecays& decays,
                     std::span<const AttentionSequence> sequences,
                     std::span<const StateSequence> states, const Tensor& q, const PagedKv& cache,
                     const Tensor& state, const Tensor& out);

}  // namespace banyan::ops
