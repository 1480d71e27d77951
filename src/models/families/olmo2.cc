// SPDX-License-Identifier: Apache-2.0
// OLMo 2: norms after the blocks only, and on q and k as whole vectors.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineOlmo2(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims();
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.attention_norm = spec.mlp_norm = false;
  spec.attention_post_norm = spec.mlp_post_norm = true;
  spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kWhole;
  spec.attention.qk_norm_spec = spec.norm;
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec);
  config.Rope(spec, 2048);
  config.Tied(spec, false);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  Rename(tensors, "layers.{l}.attention_post_norm", "model.layers.{l}.post_attention_layernorm");
  Rename(tensors, "layers.{l}.mlp_post_norm", "model.layers.{l}.post_feedforward_layernorm");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterOlmo2(models::Registry& registry) {
  registry.Add({"olmo2", {"Olmo2ForCausalLM"}, models::DefineOlmo2});
}
}  // namespace banyan
