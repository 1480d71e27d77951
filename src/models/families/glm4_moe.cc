// SPDX-License-Identifier: Apache-2.0
// GLM 4.5 to 4.7: routing as in DeepSeek-V3, rotation of half of each head.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineGlm4Moe(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(8);
  definition.tensors = LlamaTensors();
  config.DropNextnLayers(definition);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec, /*output=*/false);
  const bool qk_norm = config.fields.Optional<bool>("use_qk_norm", false);
  if (config.gguf() ? config.HasTensor("blk.0.attn_q_norm.weight") : qk_norm) {
    spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kHead;
    spec.attention.qk_norm_spec = spec.norm;
  }
  nn::RopeDefaults rope;
  rope.partial_rotary_factor = 0.5;
  config.Rope(spec, 131072, std::move(rope));
  const int dense = config.fields.Optional<int>("first_k_dense_replace", 1, {0, 4096});
  config.Moe(spec, "moe_intermediate_size", [&](int layer) { return layer >= dense; });
  config.GroupedRouting(spec, true);
  config.SharedExperts(spec, "n_shared_experts", 1);
  config.Tied(spec, false);
  AddMoe(definition.tensors, spec);
  Rename(definition.tensors, "layers.{l}.mlp_norm", "model.layers.{l}.post_attention_layernorm",
         "blk.{l}.post_attention_norm");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterGlm4Moe(models::Registry& registry) {
  registry.Add({"glm4_moe", {"Glm4MoeForCausalLM"}, models::DefineGlm4Moe});
}
}  // namespace banyan
