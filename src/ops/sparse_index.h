// SPDX-License-Identifier: Apache-2.0
// The lightning indexer of sparse attention (DeepSeek-V3.2): which earlier positions a query will
// attend to. A query at position p scores the index key k of each position up to p by
//   sum over heads h, in order, of weights[h] * max(0, scale * q[h] . k)
// and takes the `most` highest, of equal ones the lower position (NaN counts as the lowest). A
// query that sees at most `most` positions takes all of them, and scores none.
//
// A score is one chain over a head's elements and one over the heads, so that a choice depends on
// the row alone.
#pragma once

#include "ops/attention.h"

namespace banyan::ops {

struct SparseIndexCall {
  Tensor q;        // [n, heads, dim] f32
  Tensor weights;  // [n, heads] f32
  float scale = 1.0f;
  Tensor keys;  // the pool [pages, page_size, 1, dim], this step's keys written; f32, bf16 or f16
  int most = 0;
};

// out.positions: [n, at least min(most, the longest kv_len)].
void ChoosePositions(const OpContext& context, const AttentionPlan& plan,
                     const SparseIndexCall& call, const ChosenPositions& out);

}  // namespace banyan::ops
