// SPDX-License-Identifier: Apache-2.0
// Granite 4: Mamba 2 with a few layers of attention, mostly without rotary positions; a shared
// expert in every layer, beside chosen ones or alone.
#include "models/recurrent.h"

namespace banyan::models {
namespace {

void DefineGranitemoehybrid(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  Fields& fields = config.fields;
  spec = config.Dims();
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  spec.attention.qkv_bias = spec.attention.output_bias =
      fields.Optional<bool>("attention_bias", false);
  config.GraniteScales(spec);
  config.Rope(spec, 2048);
  const bool rope = config.gguf()
                        ? fields.Optional<bool>("use_rope", true)
                        : fields.Optional<std::string>("position_embedding_type", "") == "rope";
  const bool old_name = fields.Has("layers_block_type");
  if (old_name && fields.Has("layer_types") &&
      fields.object().at("layer_types") == fields.object().at("layers_block_type"))
    fields.Ignore({"layer_types"});
  MixersByType(config, spec, old_name ? "layers_block_type" : "layer_types", nn::Mixer::kMamba2,
               [](int) { return false; });
  for (nn::LayerSpec& layer : spec.layers) layer.rope = rope ? 0 : -1;
  const int expanded = fields.Optional<int>("mamba_expand", 2, kExpansions) * spec.hidden_size;
  Mamba2Keys(config, spec, fields.Optional<int>("mamba_d_inner", expanded, {1, 1 << 24}));
  if (config.gguf()) spec.mamba2.norm_groups = spec.mamba2.groups;

  const int experts = fields.Optional<int>("num_local_experts", config.gguf() ? 0 : 8, {0, 4096});
  int shared = static_cast<int>(config.TensorRows("blk.0.ffn_up.weight"));
  if (!config.gguf()) shared = fields.Optional<int>("shared_intermediate_size", 1024, {1, 1 << 24});
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  if (experts > 0) {
    config.Moe(spec, "intermediate_size");
    spec.moe.routing.normalize = true;
    if (!config.gguf()) spec.moe.shared_intermediate = shared;
    AddGraniteMoe(tensors, spec);
  } else {
    spec.mlp.intermediate = shared;
    fields.Ignore({"num_experts_per_tok"});
    FuseGateUp(tensors, spec, "model.layers.{l}.shared_mlp.input_linear", "");
    Rename(tensors, "layers.{l}.mlp.down", "model.layers.{l}.shared_mlp.output_linear");
  }
  config.Tied(spec, false);
  AddMamba2(tensors, "model.layers.{l}.mamba");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterGranitemoehybrid(models::Registry& registry) {
  registry.Add(
      {"granitemoehybrid", {"GraniteMoeHybridForCausalLM"}, models::DefineGranitemoehybrid});
}
}  // namespace banyan
