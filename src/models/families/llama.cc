// SPDX-License-Identifier: Apache-2.0
// Llama (Touvron et al. 2023) and the many models that keep its class: SmolLM2, Yi, DeepSeek-LLM,
// ...
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineLlama(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims();
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec);
  config.Rope(spec, 2048);
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterLlama(models::Registry& registry) {
  registry.Add({"llama", {"LlamaForCausalLM"}, models::DefineLlama});
}
}  // namespace banyan
