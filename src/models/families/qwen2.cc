// SPDX-License-Identifier: Apache-2.0
// Qwen 2 and 2.5: Llama with biases on q, k and v.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineQwen2(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(32);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  spec.attention.qkv_bias = true;
  config.Rope(spec, 32768);
  config.QwenWindows(spec);
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterQwen2(models::Registry& registry) {
  registry.Add({"qwen2", {"Qwen2ForCausalLM"}, models::DefineQwen2});
}
}  // namespace banyan
