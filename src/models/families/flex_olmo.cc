// SPDX-License-Identifier: Apache-2.0
// FlexOlmo: OLMo 2 with experts.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineFlexOlmo(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims();
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.attention_norm = spec.mlp_norm = false;
  spec.attention_post_norm = spec.mlp_post_norm = true;
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kWhole;
  spec.attention.qk_norm_spec = spec.norm;
  config.Biases(spec);
  nn::RopeDefaults rope;
  rope.theta = 500000.0;
  config.Rope(spec, 4096, std::move(rope));
  config.Moe(spec, "intermediate_size");
  spec.moe.routing.normalize = config.fields.Optional<bool>("norm_topk_prob", false);
  config.Tied(spec, false);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  AddMoe(tensors, spec);
  Rename(tensors, "layers.{l}.attention_post_norm", "model.layers.{l}.post_attention_layernorm");
  Rename(tensors, "layers.{l}.mlp_post_norm", "model.layers.{l}.post_feedforward_layernorm");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterFlexOlmo(models::Registry& registry) {
  registry.Add({"flex_olmo", {"FlexOlmoForCausalLM"}, models::DefineFlexOlmo});
}
}  // namespace banyan
