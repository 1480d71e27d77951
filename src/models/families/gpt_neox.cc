// SPDX-License-Identifier: Apache-2.0
// GPT-NeoX and Pythia: a quarter of each head rotated, attention and MLP in parallel with a norm
// each; q, k and v of each head lie together.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineGptNeox(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims();
  spec.norm = config.LayerNorm("layer_norm_eps", 1e-5);
  if (config.fields.Optional<bool>("use_parallel_residual", true))
    spec.residual = nn::Residual::kParallel;
  const bool bias = config.fields.Optional<bool>("attention_bias", true);
  spec.attention.qkv_bias = spec.attention.output_bias = bias;
  spec.mlp = {spec.mlp.intermediate, false, config.Activation({"hidden_act"}, "gelu"), true, true};
  nn::RopeDefaults rope;
  rope.partial_rotary_factor = 0.25;
  rope.theta_key = "rotary_emb_base";
  rope.partial_key = "rotary_pct";
  config.Rope(spec, 2048, std::move(rope));
  // Later releases of transformers 4 write both a second time, under the usual names.
  const auto theta = config.fields.Maybe<double>("rope_theta");
  const auto partial = config.fields.Maybe<double>("partial_rotary_factor");
  if (config.status().ok()) {
    if (theta && *theta != spec.ropes[0].theta)
      config.fields.Fail("rope_theta",
                         fmt::format("{} is not rotary_emb_base {}", *theta, spec.ropes[0].theta));
    if (partial && static_cast<int>(spec.attention.head_dim * *partial) != spec.ropes[0].dim)
      config.fields.Fail("partial_rotary_factor",
                         fmt::format("{} is not rotary_pct: {} elements of {} are rotated",
                                     *partial, spec.ropes[0].dim, spec.attention.head_dim));
  }
  config.Tied(spec, false);

  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  const std::string layer = "gpt_neox.layers.{l}.";
  Rename(tensors, "embed", "gpt_neox.embed_in");
  Rename(tensors, "output", "embed_out|lm_head");
  Rename(tensors, "final_norm", "gpt_neox.final_layer_norm");
  Rename(tensors, "layers.{l}.attention_norm", layer + "input_layernorm");
  Rename(tensors, "layers.{l}.mlp_norm", layer + "post_attention_layernorm");
  Rename(tensors, "layers.{l}.attention.output", layer + "attention.dense");
  Rename(tensors, "layers.{l}.mlp.up", layer + "mlp.dense_h_to_4h");
  Rename(tensors, "layers.{l}.mlp.down", layer + "mlp.dense_4h_to_h");
  FuseQkv(tensors, spec, layer + "attention.query_key_value", "", spec.attention.heads);
  tensors.base_prefix = "gpt_neox.";
  for (std::string_view name : {"bias", "masked_bias", "rotary_emb.inv_freq"})
    tensors.ignored.push_back(fmt::format("*.attention.{}", name));
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterGptNeox(models::Registry& registry) {
  registry.Add({"gpt_neox", {"GPTNeoXForCausalLM"}, models::DefineGptNeox});
}
}  // namespace banyan
