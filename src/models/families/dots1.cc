// SPDX-License-Identifier: Apache-2.0
// dots.llm1: norms on the heads of q and k, routing as in DeepSeek-V3.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineDots1(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(32);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kHead;
  spec.attention.qk_norm_spec = spec.norm;
  config.Biases(spec);
  config.Rope(spec, 2048);
  const int first = config.fields.Optional<int>("max_window_layers", 62, {0, 1 << 16});
  const int window = config.Window("sliding_window", 4096);
  config.Windows(spec, window, [&](int layer) { return window > 0 && layer >= first; });
  const int dense = config.fields.Optional<int>("first_k_dense_replace", 0, {0, 4096});
  config.Moe(spec, "moe_intermediate_size", [&](int layer) { return layer >= dense; });
  config.GroupedRouting(spec, false);
  config.SharedExperts(spec, "n_shared_experts", 0);
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
  AddMoe(definition.tensors, spec);
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterDots1(models::Registry& registry) {
  registry.Add({"dots1", {"Dots1ForCausalLM"}, models::DefineDots1});
}
}  // namespace banyan
