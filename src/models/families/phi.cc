// SPDX-License-Identifier: Apache-2.0
// Phi 1, 1.5 and 2: attention and MLP in parallel behind one norm, part of each head rotated.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefinePhi(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims();
  spec.norm = config.LayerNorm("layer_norm_eps", 1e-5);
  spec.residual = nn::Residual::kParallel;
  spec.mlp_norm = false;
  spec.attention.qkv_bias = spec.attention.output_bias = true;
  spec.mlp = {spec.mlp.intermediate, false, config.Activation({"hidden_act"}, "gelu_new"), true,
              true};
  if (config.fields.Optional<bool>("qk_layernorm", false)) {
    spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kHead;
    spec.attention.qk_norm_spec = spec.norm;
  }
  spec.output_bias = true;
  nn::RopeDefaults rope;
  rope.partial_rotary_factor = 0.5;
  config.Rope(spec, 2048, std::move(rope));
  config.Tied(spec, false);

  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  Rename(tensors, "final_norm", "model.final_layernorm");
  Rename(tensors, "layers.{l}.attention.output", "model.layers.{l}.self_attn.dense");
  Rename(tensors, "layers.{l}.attention.q_norm", "model.layers.{l}.self_attn.q_layernorm");
  Rename(tensors, "layers.{l}.attention.k_norm", "model.layers.{l}.self_attn.k_layernorm");
  Rename(tensors, "layers.{l}.mlp.up", "model.layers.{l}.mlp.fc1");
  Rename(tensors, "layers.{l}.mlp.down", "model.layers.{l}.mlp.fc2");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterPhi(models::Registry& registry) {
  registry.Add({"phi", {"PhiForCausalLM"}, models::DefinePhi});
}
}  // namespace banyan
