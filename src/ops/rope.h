// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding (Su et al. 2021). The frequencies of every scaling rule come from
// nn/rope.h; here they are applied.
#pragma once

#include <span>

#include "ops/context.h"

namespace banyan::ops {

enum class RopePairing : unsigned char {
  kHalves,       // element i turns with i + dim/2 (GPT-NeoX, Hugging Face's Llama)
  kInterleaved,  // element 2i turns with 2i + 1 (GPT-J, GGUF's Llama)
};

// cos/sin [n, dim/2] f32 of position * frequency, times `scale`; computed in f32 as transformers
// does. Once per step, read by all layers.
void RopeAngles(const OpContext& context, std::span<const int32_t> positions,
                std::span<const float> frequencies, float scale, const Tensor& cos,
                const Tensor& sin);

// Turns the first 2 * cos.dim(1) elements of each head in place. x: [n, heads, head_dim] f32, rows
// may be strided.
void Rope(const OpContext& context, const Tensor& x, const Tensor& cos, const Tensor& sin,
          RopePairing pairing);

}  // namespace banyan::ops
