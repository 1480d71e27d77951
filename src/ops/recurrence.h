// SPDX-License-Identifier: Apache-2.0
// Linear recurrences: per head a state S [key_dim, value_dim] that decays, takes in the outer
// product of a key and a value, and is read by a query.
//
//   S = decay * S + k u^T      u = beta * v, or with the delta rule beta * (v - decay * S^T k)
//   out = S^T q + skip * v
//
// Which of them a model has is a matter of its inputs:
//   Mamba 2 (Dao and Gu 2024)         k = B, q = C, v = x, beta = dt, decay = exp(dt * A), skip = D
//   gated delta rule (Yang et al. 2024)         beta = sigmoid(b), decay = exp(A * softplus(a +
//   bias)) lightning attention (Qin et al. 2024)       beta = 1, decay = exp(-slope of the head)
//
// The state is [slots, heads * key_dim * value_dim] f32. Keys are taken down each column of it in
// order, so that columns, and not keys, are shared out among threads. A chunk of rows is taken
// block of columns by block of columns, each block staying in the first-level cache for all of
// them. The form by products within a chunk (section 3.3 of Yang et al. 2024) would give a row
// other sums for every way of cutting a prompt into chunks, and so another answer warm than cold.
#pragma once

#include "ops/context.h"
#include "ops/state.h"

namespace banyan::ops {

struct RecurrenceInputs {
  Tensor q, k;   // [n, key_heads, key_dim]; key_heads divides heads, as in GQA
  Tensor v;      // [n, heads, value_dim]
  Tensor decay;  // [n, heads]; a stride of 0 along n where it is the same for all
  Tensor beta;   // [n, heads], or empty: 1
  Tensor skip;   // [heads], or empty: 0
  bool delta = false;
  // Head h reads key head h % key_heads in place of h / (heads / key_heads).
  bool keys_in_turn = false;
};

// f32; rows may be strided. out [n, heads, value_dim] may be v.
void LinearRecurrence(const OpContext& context, const RecurrenceInputs& inputs,
                      std::span<const StateSequence> sequences, const Tensor& state,
                      const Tensor& out);

// dt = clamp(softplus(x + bias), low, high), decay = exp(a * dt). [n, heads]; bias and a [heads].
// dt may be x.
void StepAndDecay(const OpContext& context, const Tensor& x, const Tensor& bias, const Tensor& a,
                  float low, float high, const Tensor& dt, const Tensor& decay);

}  // namespace banyan::ops
