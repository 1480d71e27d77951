// SPDX-License-Identifier: Apache-2.0
// Qwen 1.5 and 2, mixtures: Qwen 2 with an expert beside the chosen ones, weighted by a gate.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineQwen2Moe(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(16);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  spec.attention.qkv_bias = config.fields.Optional<bool>("qkv_bias", true);
  config.Rope(spec, 32768);
  config.QwenMoe(spec);
  if (!config.gguf()) {
    spec.moe.shared_intermediate =
        config.fields.Required<int>("shared_expert_intermediate_size", {1, 1 << 24});
    spec.moe.shared_gate = true;
  }
  const int first_full = config.fields.Optional<int>("max_window_layers", 28, {0, 1 << 16});
  config.OptionalWindows(spec, 4096,
                         [&](int layer) { return layer % 2 == 0 && layer < first_full; });
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
  AddMoe(definition.tensors, spec, {.shared = "shared_expert"});
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterQwen2Moe(models::Registry& registry) {
  registry.Add({"qwen2_moe", {"Qwen2MoeForCausalLM"}, models::DefineQwen2Moe});
}
}  // namespace banyan
