// SPDX-License-Identifier: Apache-2.0
// Bamba: Mamba 2 with a few layers of attention, dense networks in every layer.
#include <algorithm>

#include "models/recurrent.h"

namespace banyan::models {
namespace {

void DefineBamba(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(8);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec);
  nn::RopeDefaults rope;
  rope.partial_rotary_factor = 0.5;
  rope.partial_key = "";  // the one beside the rope's object is not looked at
  config.fields.Ignore({"partial_rotary_factor"});
  config.Rope(spec, 262144, std::move(rope));
  const auto attention =
      config.fields.Optional<std::vector<int>>("attn_layer_indices", {}, {0, 4096});
  MixersByType(config, spec, "layers_block_type", nn::Mixer::kMamba2,
               [&](int layer) { return std::ranges::find(attention, layer) != attention.end(); });
  Mamba2Keys(config, spec,
             config.fields.Optional<int>("mamba_expand", 2, kExpansions) * spec.hidden_size);
  config.Tied(spec, false);

  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  Rename(tensors, "final_norm", "model.final_layernorm");
  Rename(tensors, "layers.{l}.mlp_norm", "model.layers.{l}.pre_ff_layernorm");
  for (std::string_view part : {"gate", "up", "down"})
    Rename(tensors, fmt::format("layers.{{l}}.mlp.{}", part),
           fmt::format("model.layers.{{l}}.feed_forward.{}_proj", part));
  AddMamba2(tensors, "model.layers.{l}.mamba");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterBamba(models::Registry& registry) {
  registry.Add({"bamba", {"BambaForCausalLM"}, models::DefineBamba});
}
}  // namespace banyan
