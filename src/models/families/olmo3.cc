// SPDX-License-Identifier: Apache-2.0
// OLMo 3: OLMo 2 with windows on three of four layers, which keep the plain rope.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineOlmo3(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims();
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.attention_norm = spec.mlp_norm = false;
  spec.attention_post_norm = spec.mlp_post_norm = true;
  spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kWhole;
  spec.attention.qk_norm_spec = spec.norm;
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec);
  config.Windows(spec, config.Window("sliding_window", 4096),
                 [](int layer) { return (layer + 1) % 4 != 0; });
  nn::RopeDefaults full, local;
  full.theta = local.theta = 500000.0;
  local.theta_key = "";
  local.nested_only = true;
  config.AddRope(spec, 2048, std::move(full), "full_attention");
  config.AddRope(spec, 2048, std::move(local), "sliding_attention");
  for (nn::LayerSpec& layer : spec.layers) layer.rope = layer.window > 0 ? 1 : 0;
  config.Tied(spec, false);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  Rename(tensors, "layers.{l}.attention_post_norm", "model.layers.{l}.post_attention_layernorm");
  Rename(tensors, "layers.{l}.mlp_post_norm", "model.layers.{l}.post_feedforward_layernorm");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterOlmo3(models::Registry& registry) {
  registry.Add({"olmo3", {"Olmo3ForCausalLM"}, models::DefineOlmo3});
}
}  // namespace banyan
