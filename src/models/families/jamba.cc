// SPDX-License-Identifier: Apache-2.0
// Jamba: Mamba with normalized steps, attention without positions in one layer of a period, experts
// in one of another.
#include "models/recurrent.h"

namespace banyan::models {
namespace {

void DefineJamba(Config& config, Definition& definition) {
  constexpr Range kCount{1, 1 << 24};
  nn::DecoderSpec& spec = definition.spec;
  Fields& fields = config.fields;
  spec = config.Dims(8);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  spec.context_length = fields.Optional<int64_t>("max_position_embeddings", 262144, {1, 1 << 30});
  const auto every = [&](std::string_view period_key, int period, std::string_view offset_key,
                         int offset) {
    const int n = fields.Optional<int>(period_key, period, {1, 4096});
    const int first = fields.Optional<int>(offset_key, offset, {0, 4095});
    return [n, first](int layer) { return layer % n == first; };
  };
  MixersByType(config, spec, "layer_types", nn::Mixer::kMamba,
               every("attn_layer_period", 8, "attn_layer_offset", 4));
  for (nn::LayerSpec& layer : spec.layers) layer.rope = -1;
  fields.Ignore({"rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor"});

  nn::MambaSpec& mamba = spec.mamba;
  const int expand = fields.Optional<int>("mamba_expand", 2, kExpansions);
  mamba.inner = fields.Optional<int>("mamba_d_inner", expand * spec.hidden_size, kCount);
  mamba.state = fields.Optional<int>("mamba_d_state", 16, kHeadSizes);
  mamba.kernel = fields.Optional<int>("mamba_d_conv", 4, {2, 8});
  mamba.dt_rank = SizeOrAuto(config, "mamba_dt_rank", (spec.hidden_size + 15) / 16);
  mamba.conv_bias = fields.Optional<bool>("mamba_conv_bias", true);
  mamba.bias = fields.Optional<bool>("mamba_proj_bias", false);
  mamba.norms = true;
  mamba.norm_eps = spec.norm.eps;
  OnlySilu(config, "hidden_act");

  const auto sparse = every("expert_layer_period", 2, "expert_layer_offset", 1);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  const int experts = fields.Optional<int>("num_experts", config.gguf() ? 1 : 16, {1, 4096});
  if (experts > 1) {
    config.Moe(spec, "intermediate_size", sparse);
    AddMoe(tensors, spec, {.block = "model.layers.{l}.feed_forward", .router = "router"});
  } else {
    fields.Ignore({"num_experts_per_tok"});
  }
  fields.Ignore({"output_router_logits", "router_aux_loss_coef", "use_mamba_kernels", "use_mambapy",
                 "use_associative_scan", "num_logits_to_keep"});
  config.Tied(spec, false);

  Rename(tensors, "final_norm", "model.final_layernorm");
  Rename(tensors, "layers.{l}.mlp_norm", "model.layers.{l}.pre_ff_layernorm");
  for (std::string_view part : {"gate", "up", "down"})
    Rename(tensors, fmt::format("layers.{{l}}.mlp.{}", part),
           fmt::format("model.layers.{{l}}.feed_forward.{}_proj", part));
  AddMamba(tensors, "model.layers.{l}.mamba");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterJamba(models::Registry& registry) {
  registry.Add({"jamba", {"JambaForCausalLM"}, models::DefineJamba});
}
}  // namespace banyan
