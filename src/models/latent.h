// SPDX-License-Identifier: Apache-2.0
// What the families with latent attention (nn/mla.h) share: their keys, their tensors' names, and
// the mixtures of DeepSeek-V3 and those after it.
#pragma once

#include "models/model_def.h"

namespace banyan::models {

// What a family's config class says where the keys are silent.
struct LatentDefaults {
  int q_rank = 1536;
  int rank = 512;
  int nope_dim = 128;
  int rope_dim = 64;
  int value_dim = 128;  // 0: hidden_size / num_attention_heads
  int64_t max_position = 2048;
  double eps = 1e-6;
  ops::RopePairing pairing = ops::RopePairing::kInterleaved;
  bool fixed_pairing = false;  // whatever rope_interleave says
  bool tied = false;
  bool rope_of_whole_head = false;  // partial_rotary_factor counts the part without positions too
  json::object rope_parameters;
};

// Everything of the definition but the feed-forward networks of sparse layers: all layers attend to
// latents and have dense networks.
void DefineLatent(Config& config, Definition& definition, const LatentDefaults& defaults);

// index_n_heads, index_head_dim, index_topk: sparse attention.
void AddSparseIndex(Config& config, Definition& definition, int heads,
                    ops::RopePairing pairing = ops::RopePairing::kHalves);

// The layers of mlp_layer_types that are "sparse", or those from first_k_dense_replace on, have a
// mixture with shared experts. After DefineLatent.
void AddDeepseekMoe(Config& config, Definition& definition, int first_sparse,
                    int shared_default = 1);

// DeepSeek-V3's routing, and no other: topk_method and scoring_func say so or nothing.
void RouteAsDeepseekV3(Config& config, nn::DecoderSpec& spec, double scale, int groups = 1,
                       int top_groups = 1);

}  // namespace banyan::models
