// SPDX-License-Identifier: Apache-2.0
// Qwen 3, mixtures: Qwen 3 with experts.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineQwen3Moe(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(4);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kHead;
  spec.attention.qk_norm_spec = spec.norm;
  config.Biases(spec);
  config.Rope(spec, 32768);
  config.QwenMoe(spec);
  // llama.cpp runs all of the family with weights that sum to 1, and its files do not say so.
  if (config.gguf() && !config.fields.Has("norm_topk_prob")) spec.moe.routing.normalize = true;
  const bool windows = config.fields.Optional<bool>("use_sliding_window", false);
  for (nn::LayerSpec& layer : spec.layers)
    layer.window = windows ? config.Window("sliding_window", 4096) : 0;
  config.fields.Ignore({"sliding_window"});
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
  AddMoe(definition.tensors, spec);
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterQwen3Moe(models::Registry& registry) {
  registry.Add({"qwen3_moe", {"Qwen3MoeForCausalLM"}, models::DefineQwen3Moe});
}
}  // namespace banyan
