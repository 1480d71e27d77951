// SPDX-License-Identifier: Apache-2.0
// gpt-oss: a sink in every head, windows in every other layer, clamped units with biases
// everywhere.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineGptOss(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(8, 64);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.attention.sinks = true;
  config.Biases(spec, /*output=*/true, /*attention_default=*/true);
  nn::RopeDefaults rope;
  rope.theta = 150000.0;
  rope.parameters = {{"rope_type", "yarn"}, {"factor", 32.0},
                     {"beta_fast", 32.0},   {"beta_slow", 1.0},
                     {"truncate", false},   {"original_max_position_embeddings", 4096}};
  config.Rope(spec, 131072, std::move(rope));
  // GGUF does not say so.
  if (config.gguf() && !spec.ropes.empty()) spec.ropes[0].truncate = false;
  config.Windows(spec, config.Window("sliding_window", 128),
                 [](int layer) { return layer % 2 == 0; });
  config.Moe(spec, "intermediate_size");
  nn::MoeSpec& moe = spec.moe;
  moe.routing.normalize = true;
  moe.router_bias = moe.expert_bias = true;
  moe.swiglu_limit = config.fields.Optional<float>("swiglu_limit", 7.0f, {1e-3, 1e6});
  config.fields.Ignore({"experts_per_token", "initial_context_length", "hidden_act"});
  config.Tied(spec, false);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  AddMoe(tensors, spec, {.router = "router"});
  AddExpertsByColumns(tensors, "model.layers.{l}.mlp.experts", {1, 1}, moe.intermediate);
  tensors.rows.push_back({"layers.{l}.attention.sinks.weight", "model.layers.{l}.self_attn.sinks",
                          "blk.{l}.attn_sinks.weight"});
  Rename(tensors, "layers.{l}.mlp_norm", "model.layers.{l}.post_attention_layernorm",
         "blk.{l}.post_attention_norm|blk.{l}.ffn_norm");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterGptOss(models::Registry& registry) {
  registry.Add({"gpt_oss", {"GptOssForCausalLM"}, models::DefineGptOss});
}
}  // namespace banyan
