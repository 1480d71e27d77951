// SPDX-License-Identifier: Apache-2.0
// Arcee Foundation, mixtures (Trinity): norms before and after each block, a gate on what the heads
// saw.
#include <cmath>

#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineAfmoe(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(0, 128);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.attention_post_norm = spec.mlp_post_norm = true;
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kHead;
  spec.attention.qk_norm_spec = spec.norm;
  spec.attention.output_gate = true;
  config.Biases(spec);
  config.Rope(spec, 16384);
  const int every = config.fields.Optional<int>("global_attn_every_n_layers", 4, {1, 4096});
  config.Windows(spec, config.Window("sliding_window", 1024),
                 [&](int layer) { return (layer + 1) % every != 0; });
  for (nn::LayerSpec& layer : spec.layers) layer.rope = layer.window > 0 ? 0 : -1;
  const int dense = config.fields.Optional<int>("num_dense_layers", 1, {0, 4096});
  config.Moe(spec, "moe_intermediate_size", [&](int layer) { return layer >= dense; });
  spec.moe.routing.score = ops::Routing::Score::kSigmoid;
  spec.moe.routing.normalize = true;
  spec.moe.routing.scale = static_cast<float>(
      config.fields.MaybeAny<double>({"route_scale", "routed_scaling_factor"}, {0, 1e6})
          .value_or(1.0));
  config.SharedExperts(spec, "num_shared_experts", 2);
  spec.moe.correction_bias = !config.gguf() || spec.moe.correction_bias;
  // GGUF: llama.cpp scales the embeddings of every file of the family.
  if (config.fields.Optional<bool>("mup_enabled", config.gguf()))
    spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden_size));
  config.Tied(spec, false);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  AddMoe(tensors, spec, {.router = "router.gate", .correction = "expert_bias"});
  Rename(tensors, "layers.{l}.attention.gate", "model.layers.{l}.self_attn.gate_proj",
         "blk.{l}.attn_gate");
  Rename(tensors, "layers.{l}.attention_post_norm", "model.layers.{l}.post_attention_layernorm");
  Rename(tensors, "layers.{l}.mlp_norm", "model.layers.{l}.pre_mlp_layernorm");
  Rename(tensors, "layers.{l}.mlp_post_norm", "model.layers.{l}.post_mlp_layernorm");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterAfmoe(models::Registry& registry) {
  registry.Add({"afmoe", {"AfmoeForCausalLM"}, models::DefineAfmoe});
}
}  // namespace banyan
