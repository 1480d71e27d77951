// SPDX-License-Identifier: Apache-2.0
// Mistral 7B (Jiang et al. 2023), Nemo, Small: Llama, the first one with a window on every layer.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineMistral(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(8);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Rope(spec, 4096 * 32);
  for (nn::LayerSpec& layer : spec.layers) layer.window = config.Window("sliding_window", 4096);
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterMistral(models::Registry& registry) {
  registry.Add({"mistral", {"MistralForCausalLM"}, models::DefineMistral});
}
}  // namespace banyan
