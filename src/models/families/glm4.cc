// SPDX-License-Identifier: Apache-2.0
// GLM-4-0414: GLM with norms after attention and MLP too.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineGlm4(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(2, 128);
  spec.norm = config.RmsNorm("rms_norm_eps", 1.5625e-07);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec, /*output=*/false, /*attention_default=*/true);
  spec.attention_post_norm = spec.mlp_post_norm = true;
  nn::RopeDefaults rope;
  rope.partial_rotary_factor = 0.5;
  rope.pairing = ops::RopePairing::kInterleaved;
  config.Rope(spec, 131072, std::move(rope));
  config.Tied(spec, false);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  FuseGateUp(tensors, spec, "model.layers.{l}.mlp.gate_up_proj", "");
  Rename(tensors, "layers.{l}.attention_post_norm", "model.layers.{l}.post_self_attn_layernorm");
  Rename(tensors, "layers.{l}.mlp_post_norm", "model.layers.{l}.post_mlp_layernorm");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterGlm4(models::Registry& registry) {
  registry.Add({"glm4", {"Glm4ForCausalLM"}, models::DefineGlm4});
}
}  // namespace banyan
