// SPDX-License-Identifier: Apache-2.0
// Selective scan of Mamba 1 (Gu and Dao 2023): every channel has a diagonal state of its own, whose
// step is set by the input.
//
//   dt = softplus(dt_raw)
//   S[c, n] = exp(dt[c] * a[c, n]) * S[c, n] + dt[c] * x[c] * b[n]
//   out[c] = (sum over n of S[c, n] * c[n] + skip[c] * x[c]) * silu(z[c])
//
// Mamba 2, whose decay is one number per head, is ops/recurrence.h. The state is
// [slots, channels * state_dim] f32.
#pragma once

#include "ops/context.h"
#include "ops/state.h"

namespace banyan::ops {

struct ScanInputs {
  Tensor x;     // [n, channels]
  Tensor dt;    // [n, channels], before softplus
  Tensor b, c;  // [n, state_dim]
  Tensor z;     // [n, channels], or empty: no gate
  Tensor a;     // [channels, state_dim], negative: -exp(A_log)
  Tensor skip;  // [channels]: D
};

// f32; rows may be strided. out [n, channels] may be x, dt or z.
void SelectiveScan(const OpContext& context, const ScanInputs& inputs,
                   std::span<const StateSequence> sequences, const Tensor& state,
                   const Tensor& out);

}  // namespace banyan::ops
