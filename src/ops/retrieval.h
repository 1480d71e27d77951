// SPDX-License-Identifier: Apache-2.0
// Experts of one hidden unit each, found by product keys (Lample et al. 2019; He 2024): expert
// a * keys + b has the score first[a] + second[b], and a row takes those with the highest.
//
//   out += sum over the chosen e, best first, of softmax(scores)[e] * act(down[e] . x) * up[e]
//
// The softmax is over the chosen alone. A row with a logit that is infinite or not a number gets
// NaN.
#pragma once

#include "ops/context.h"
#include "ops/elementwise.h"

namespace banyan::ops {

struct RetrievalCall {
  Tensor x;       // [n, dim] f32
  Tensor logits;  // [n, 2 * keys] f32: first, second
  int top_k = 1;  // at most keys * keys
  Activation activation = Activation::kSilu;
  Tensor down, up;  // [at least keys * keys, dim] in any checkpoint dtype, row major
  Tensor out;       // [n, dim] f32: is added to
};

void RetrieveExperts(const OpContext& context, const RetrievalCall& call);

}  // namespace banyan::ops
