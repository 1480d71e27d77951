// SPDX-License-Identifier: Apache-2.0
// Mixers with a state: what their families' config keys and tensor names share.
#pragma once

#include <functional>
#include <string_view>

#include "models/model_def.h"

namespace banyan::models {

// Bounds of sizes, such that no product of those of a mixer overflows.
inline constexpr Range kHeadCounts{1, 1 << 16}, kHeadSizes{1, 1 << 12}, kExpansions{1, 16};

// vocab_size, hidden_size, num_hidden_layers of a model without attention or dense networks.
// Without positions to run out of, its context is as long as llama.cpp takes it to be.
nn::DecoderSpec StateModelSizes(Config& config);

// Sets each layer's mixer by `key`: `recurrent` where it says "linear_attention" ("mamba", "conv"),
// attention where it says "full_attention" ("attention"). Where the key is absent, attention where
// `attention(layer)`.
void MixersByType(Config& config, nn::DecoderSpec& spec, std::string_view key, nn::Mixer recurrent,
                  const std::function<bool(int)>& attention);

// A size, or "auto" (or absent): `fallback`.
int SizeOrAuto(Config& config, std::string_view key, int fallback);

// An activation that must be SiLU.
void OnlySilu(Config& config, std::string_view key);

// time_step_limit: [low, high].
void TimeStepLimit(Config& config, nn::Mamba2Spec& mamba);

// mamba_d_state, mamba_n_heads, ...: Mamba 2 as hybrids have it. `inner`: heads * head_dim.
void Mamba2Keys(Config& config, nn::DecoderSpec& spec, int inner);

// linear_num_key_heads and so on, each with its default.
void GatedDeltaKeys(Config& config, nn::GatedDeltaSpec& spec, const nn::GatedDeltaSpec& defaults);

// Rows of layers.{l}.mixer.*; `block` is what safetensors call the mixer.
void AddMamba(weights::TensorTable& table, std::string_view block);
void AddMamba2(weights::TensorTable& table, std::string_view block);
// All but the projections, which each family has in its own form.
void AddGatedDelta(weights::TensorTable& table, std::string_view block, std::string_view norm,
                   std::string_view output);

// Qwen's attention: the file's q has each head's gate behind its query.
void SplitQueryAndGate(weights::TensorTable& table, const nn::DecoderSpec& spec);

}  // namespace banyan::models
