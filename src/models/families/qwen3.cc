// SPDX-License-Identifier: Apache-2.0
// Qwen 3: norms on each head of q and k.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineQwen3(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(32, 128);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kHead;
  spec.attention.qk_norm_spec = spec.norm;
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec);
  config.Rope(spec, 32768);
  config.QwenWindows(spec);
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterQwen3(models::Registry& registry) {
  registry.Add({"qwen3", {"Qwen3ForCausalLM"}, models::DefineQwen3});
}
}  // namespace banyan
