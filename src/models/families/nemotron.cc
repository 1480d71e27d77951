// SPDX-License-Identifier: Apache-2.0
// Nemotron 4 and Minitron: layer norms stored as their distance from one, a plain MLP of squared
// ReLU, half of each head rotated.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineNemotron(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims();
  spec.norm = config.LayerNorm("norm_eps", 1e-5);
  spec.mlp.gated = false;
  spec.mlp.activation = config.Activation({"hidden_act"}, "relu2");
  config.Biases(spec);
  nn::RopeDefaults rope;
  rope.partial_rotary_factor = 0.5;
  config.Rope(spec, 4096, std::move(rope));
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
  AddOneToNorms(definition.tensors);
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterNemotron(models::Registry& registry) {
  registry.Add({"nemotron", {"NemotronForCausalLM"}, models::DefineNemotron});
}
}  // namespace banyan
