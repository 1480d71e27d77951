// SPDX-License-Identifier: Apache-2.0
// Hunyuan: norms on the heads of q and k after they are rotated; and its mixtures, with experts and
// one that all rows go through.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineHunyuanV1Dense(Config& config, Definition& definition) {
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
  config.Tied(spec, false);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  Rename(tensors, "layers.{l}.attention.q_norm", "model.layers.{l}.self_attn.query_layernorm");
  Rename(tensors, "layers.{l}.attention.k_norm", "model.layers.{l}.self_attn.key_layernorm");
}

void DefineHunyuanV1Moe(Config& config, Definition& definition) {
  DefineHunyuanV1Dense(config, definition);
  nn::DecoderSpec& spec = definition.spec;
  config.Moe(spec, "intermediate_size");
  config.fields.Ignore({"moe_intermediate_size"});  // as transformers, which does not look at it
  spec.moe.routing.normalize = true;
  if (!config.gguf()) spec.moe.shared_intermediate = spec.moe.intermediate;
  AddMoe(definition.tensors, spec, {.router = "gate.wg", .shared = "shared_mlp"});
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterHunyuanV1(models::Registry& registry) {
  registry.Add({"hunyuan_v1_dense", {"HunYuanDenseV1ForCausalLM"}, models::DefineHunyuanV1Dense});
  registry.Add({"hunyuan_v1_moe", {"HunYuanMoEV1ForCausalLM"}, models::DefineHunyuanV1Moe});
}
}  // namespace banyan
