// SPDX-License-Identifier: Apache-2.0
// StableLM 3B, 1.6B and 12B: layer norms, a quarter of each head rotated.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineStablelm(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(32);
  spec.norm = config.LayerNorm("layer_norm_eps", 1e-5);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  spec.attention.qkv_bias = config.fields.Optional<bool>("use_qkv_bias", false);
  if (config.fields.Optional<bool>("use_parallel_residual", false)) {
    spec.residual = nn::Residual::kParallel;
    spec.mlp_norm = false;
  }
  if (config.fields.Optional<bool>("qk_layernorm", false) ||
      config.HasTensor("blk.0.attn_q_norm.weight")) {
    spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kPerHead;
    spec.attention.qk_norm_spec = spec.norm;
    spec.attention.qk_norm_spec.bias = false;
  }
  nn::RopeDefaults rope;
  rope.partial_rotary_factor = 0.25;
  config.Rope(spec, 4096, std::move(rope));
  config.Tied(spec, false);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  for (std::string_view name : {"q", "k"})
    Row(tensors, fmt::format("layers.{{l}}.attention.{}_norm.{{h}}.weight", name)).safetensors =
        fmt::format("model.layers.{{l}}.self_attn.{}_layernorm.norms.{{h}}.weight", name);
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterStablelm(models::Registry& registry) {
  registry.Add({"stablelm", {"StableLmForCausalLM"}, models::DefineStablelm});
}
}  // namespace banyan
