// SPDX-License-Identifier: Apache-2.0
// Code World Model: Llama 3 with windows on three of four layers.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineCwm(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(8, 128);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  spec.mlp.up_bias = spec.mlp.down_bias = config.fields.Optional<bool>("mlp_bias", false);
  nn::RopeDefaults rope;
  rope.theta = 1e6;
  rope.parameters = {{"rope_type", "llama3"},  {"rope_theta", 1e6},
                     {"factor", 16.0},         {"original_max_position_embeddings", 8192},
                     {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}};
  config.Rope(spec, 131072, std::move(rope));
  config.Windows(spec, config.Window("sliding_window", 8192),
                 [](int layer) { return layer % 4 != 0; });
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterCwm(models::Registry& registry) {
  registry.Add({"cwm", {"CwmForCausalLM"}, models::DefineCwm});
}
}  // namespace banyan
