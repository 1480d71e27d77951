// SPDX-License-Identifier: Apache-2.0
// Granite 3: Llama with four multipliers (maximal update parametrization).
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineGranite(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims();
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec);
  spec.attention.scale = config.fields.Optional<float>("attention_multiplier", 1.0f);
  spec.embedding_scale = config.fields.Optional<float>("embedding_multiplier", 1.0f);
  spec.residual_scale = config.fields.Optional<float>("residual_multiplier", 1.0f);
  spec.logit_scale = 1.0f / config.fields.Optional<float>("logits_scaling", 1.0f, {1e-6, 1e6});
  config.Rope(spec, 2048);
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterGranite(models::Registry& registry) {
  registry.Add({"granite", {"GraniteForCausalLM"}, models::DefineGranite});
}
}  // namespace banyan
