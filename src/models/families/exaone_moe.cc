// SPDX-License-Identifier: Apache-2.0
// K-EXAONE: no rotation in layers that see everything, routing as in DeepSeek-V3.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineExaoneMoe(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(32);
  definition.tensors = LlamaTensors();
  config.DropNextnLayers(definition);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kHead;
  spec.attention.qk_norm_spec = spec.norm;
  config.Rope(spec, 2048);
  const int window = config.Window("sliding_window", 4096);
  const int pattern = window > 0 ? config.SlidingPattern(4) : 1;
  config.Windows(spec, window, [&](int layer) { return (layer + 1) % pattern != 0; });
  if (window > 0)
    for (nn::LayerSpec& layer : spec.layers) layer.rope = layer.window > 0 ? 0 : -1;
  const int dense = config.fields.Optional<int>("first_k_dense_replace", 1, {0, 4096});
  const auto types = config.fields.Maybe<std::vector<std::string>>("mlp_layer_types");
  if (types && types->size() != spec.layers.size())
    return config.fields.Fail("mlp_layer_types", "has another length than there are layers");
  config.Moe(spec, "moe_intermediate_size",
             [&](int layer) { return types ? (*types)[layer] == "sparse" : layer >= dense; });
  config.GroupedRouting(spec, true, 2.5);
  config.SharedExperts(spec, "num_shared_experts", 1);
  config.Tied(spec, false);
  AddMoe(definition.tensors, spec, {.correction = "e_score_correction_bias"});
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterExaoneMoe(models::Registry& registry) {
  registry.Add({"exaone_moe", {"ExaoneMoeForCausalLM"}, models::DefineExaoneMoe});
}
}  // namespace banyan
