// SPDX-License-Identifier: Apache-2.0
// Causal convolution along time of each channel by itself, as recurrent layers have it before their
// recurrence (Mamba, gated delta) or instead of one (LFM2).
//
//   out[t] = act(bias + sum over j of weight[j] * x[t - kernel + 1 + j]),  j < kernel
//
// The state is the last kernel - 1 rows of x, oldest first: [slots, (kernel - 1) * channels] f32.
#pragma once

#include "ops/context.h"
#include "ops/state.h"

namespace banyan::ops {

inline constexpr int64_t kMinConvKernel = 2, kMaxConvKernel = 8;

struct ConvParams {
  Tensor weight;      // [kernel, channels] f32
  Tensor bias;        // [channels] f32, or empty
  bool silu = false;  // act; else none
};

// x, out: [n, channels] f32, rows may be strided; out is not x. Rows of no sequence are left alone.
void CausalConv(const OpContext& context, const ConvParams& params,
                std::span<const StateSequence> sequences, const Tensor& x, const Tensor& state,
                const Tensor& out);

}  // namespace banyan::ops
