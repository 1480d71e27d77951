// SPDX-License-Identifier: Apache-2.0
// OLMo: layer norms without weights, q, k and v clamped.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineOlmo(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims();
  // Only a GGUF file names it.
  const auto eps = config.fields.Optional<float>("layer_norm_eps", 1e-5f, {0, 1});
  spec.norm = {.kind = nn::NormSpec::Kind::kLayer, .eps = eps, .weight = false};
  spec.attention.clip_qkv = config.Softcap("clip_qkv", 0.0f);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec);
  config.Rope(spec, 2048);
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterOlmo(models::Registry& registry) {
  registry.Add({"olmo", {"OlmoForCausalLM"}, models::DefineOlmo});
}
}  // namespace banyan
