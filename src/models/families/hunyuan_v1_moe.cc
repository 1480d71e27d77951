// SPDX-License-Identifier: Apache-2.0
// Hunyuan, mixtures: Hunyuan with experts and one that all rows go through.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineHunyuanV1Moe(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims();
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kHead;
  spec.attention.qk_norm_spec = spec.norm;
  spec.attention.qk_norm_after_rope = true;
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec);
  config.Only("use_qk_norm", true);
  nn::RopeDefaults rope;
  rope.ntk_alpha = true;
  config.Rope(spec, 2048, std::move(rope));
  config.Moe(spec, "intermediate_size");
  config.fields.Ignore({"moe_intermediate_size"});  // as transformers, which does not look at it
  spec.moe.routing.normalize = true;
  if (!config.gguf()) spec.moe.shared_intermediate = spec.moe.intermediate;
  config.Tied(spec, false);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  AddMoe(tensors, spec, {.router = "gate.wg", .shared = "shared_mlp"});
  Rename(tensors, "layers.{l}.attention.q_norm", "model.layers.{l}.self_attn.query_layernorm");
  Rename(tensors, "layers.{l}.attention.k_norm", "model.layers.{l}.self_attn.key_layernorm");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterHunyuanV1Moe(models::Registry& registry) {
  registry.Add({"hunyuan_v1_moe", {"HunYuanMoEV1ForCausalLM"}, models::DefineHunyuanV1Moe});
}
}  // namespace banyan
