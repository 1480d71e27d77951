// SPDX-License-Identifier: Apache-2.0
// Specs of the mixers that carry a state in place of keys and values, as plain data. Their blocks:
// nn/short_conv.h, nn/mamba.h, nn/mamba2.h, nn/gated_delta.h, nn/lightning.h.
#pragma once

#include <array>
#include <limits>
#include <vector>

#include "ops/elementwise.h"

namespace banyan::nn {

struct ShortConvSpec {
  int kernel = 0;
  bool bias = false;  // of the convolution and both projections
};

struct MambaSpec {
  int inner = 0;
  int state = 0;
  int kernel = 0;
  int dt_rank = 0;
  bool conv_bias = true;
  bool bias = false;  // of the projections in and out
  // RMS norms of dt, B and C before they are used: with weights (Jamba) or without (Falcon Mamba).
  bool norms = false, norm_weights = true;
  float norm_eps = 1e-6f;
};

struct Mamba2Spec {
  int heads = 0;
  int head_dim = 0;
  int groups = 0;  // of heads that share B and C
  int state = 0;
  int kernel = 0;
  bool conv_bias = true;
  bool in_bias = false, output_bias = false;
  float dt_min = 0.0f, dt_max = std::numeric_limits<float>::infinity();

  enum class Norm : unsigned char {
    kNone,        // y * silu(z)
    kAfterGate,   // norm(y * silu(z))
    kBeforeGate,  // norm(y) * silu(z)
  };
  Norm norm = Norm::kAfterGate;
  int norm_groups = 1;          // each normalized by itself
  bool norm_by_groups = false;  // its weight's shape: [groups, inner / groups], not [inner]
  float norm_eps = 1e-5f;

  float input_scale = 1.0f;                       // of what goes in (Falcon H1)
  std::array<float, 5> scales = {1, 1, 1, 1, 1};  // of z, x, B, C, dt behind the projection
  int inner() const { return heads * head_dim; }
  int conv_dim() const { return inner() + 2 * groups * state; }
};

struct GatedDeltaSpec {
  int key_heads = 0, value_heads = 0;
  int key_dim = 0, value_dim = 0;  // of a head
  int kernel = 0;
  float norm_eps = 1e-6f;
  bool keys_in_turn = false;  // value head h has key head h % key_heads: llama.cpp's order
  float beta_scale = 1.0f;    // 2: the state may turn a direction round (OLMo Hybrid)
  // Where the convolution's weight is stacked from NAME.conv.{q,k,v}.weight, their rows.
  std::vector<int> conv_parts;
  int conv_dim() const { return 2 * key_heads * key_dim + value_heads * value_dim; }
};

struct LightningSpec {
  int heads = 0;
  int head_dim = 0;
  int block = 256;                                      // of saved tables of decays
  ops::Activation activation = ops::Activation::kSilu;  // of q, k and v
  float norm_eps = 1e-6f;
};

}  // namespace banyan::nn
