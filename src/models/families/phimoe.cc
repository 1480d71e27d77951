// SPDX-License-Identifier: Apache-2.0
// Phi 3.5 MoE: layer norms with biases, the sparse mixer of two experts.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefinePhimoe(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(8);
  spec.norm = config.LayerNorm("rms_norm_eps", 1e-5);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec);
  nn::RopeDefaults rope;
  rope.theta = 1000000.0;
  rope.recompute = true;
  rope.short_factors_only = !config.gguf();  // llama.cpp turns long sequences by the long ones
  config.Rope(spec, 131072, std::move(rope));
  for (nn::LayerSpec& layer : spec.layers) layer.window = config.Window("sliding_window", 0);
  config.Moe(spec, "intermediate_size");
  spec.moe.routing.score = ops::Routing::Score::kSparseMixer;
  if (config.status().ok() && spec.moe.routing.top_k != 2)
    config.fields.Fail("num_experts_per_tok", "other than 2 is not of this family");
  spec.moe.routing.jitter = config.fields.Optional<float>("router_jitter_noise", 0.01f, {0, 1});
  spec.output_bias = config.gguf() ? config.HasTensor("output.bias")
                                   : config.fields.Optional<bool>("lm_head_bias", false);
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
  AddMoe(definition.tensors, spec,
         {.block = "model.layers.{l}.block_sparse_moe", .gate = "w1", .up = "w3", .down = "w2"});
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterPhimoe(models::Registry& registry) {
  registry.Add({"phimoe", {"PhimoeForCausalLM", "PhiMoEForCausalLM"}, models::DefinePhimoe});
}
}  // namespace banyan
