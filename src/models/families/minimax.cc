// SPDX-License-Identifier: Apache-2.0
// MiniMax 01 and M1: lightning attention with softmax attention between, experts in every layer,
// and a stream that goes through each norm.
#include "models/recurrent.h"

namespace banyan::models {
namespace {

void DefineMinimax(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  Fields& fields = config.fields;
  spec = config.Dims(8);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.residual = nn::Residual::kFromNorm;
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  nn::RopeDefaults rope;
  rope.theta = 1000000.0;
  // As the model's own code, SGLang and vLLM do; transformers 5.17 overlooks the key.
  config.RotaryDim(spec, rope);
  config.Rope(spec, 4096 * 32, std::move(rope));
  MixersByType(config, spec, "layer_types", nn::Mixer::kLightning,
               [](int layer) { return layer % 2 == 0; });
  spec.lightning = {.heads = spec.attention.heads,
                    .head_dim = spec.attention.head_dim,
                    .activation = spec.mlp.activation};
  const auto scales = [&](std::string_view alpha, std::string_view beta) {
    return nn::StreamScales{fields.Optional<float>(alpha, 1.0f),
                            fields.Optional<float>(beta, 1.0f)};
  };
  const auto full = scales("full_attn_alpha_factor", "full_attn_beta_factor");
  const auto linear = scales("linear_attn_alpha_factor", "linear_attn_beta_factor");
  const auto mlp = scales("mlp_alpha_factor", "mlp_beta_factor");
  const int window = config.Window("sliding_window", 0);
  for (nn::LayerSpec& layer : spec.layers) {
    const bool attends = layer.mixer == nn::Mixer::kAttention;
    layer.mixer_scales = attends ? full : linear;
    layer.mlp_scales = mlp;
    if (attends) layer.window = window;
  }
  config.Moe(spec, "intermediate_size");
  spec.moe.routing.normalize = true;
  spec.lightning.block = fields.Optional<int>("block_size", 256, {1, 1 << 16});
  fields.Ignore({"output_router_logits", "router_aux_loss_coef", "router_jitter_noise"});
  config.Tied(spec, false);

  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  AddMoe(tensors, spec,
         {.block = "model.layers.{l}.block_sparse_moe", .gate = "w1", .up = "w3", .down = "w2"});
  const auto within = [&](std::string_view part, std::string_view name) {
    Rename(tensors, fmt::format("layers.{{l}}.mixer.{}", part),
           fmt::format("model.layers.{{l}}.self_attn.{}", name));
  };
  within("qkv", "qkv_proj"), within("norm", "norm"), within("gate", "output_gate");
  within("output", "out_proj");
  // Rounded tables, which are used where products are f32 alone (nn/lightning.h).
  for (std::string_view name : {"slope", "query_decay", "key_decay", "diagonal_decay"}) {
    const std::string file = fmt::format("self_attn.{}{}", name, name == "slope" ? "_rate" : "");
    tensors.rows.push_back({fmt::format("layers.{{l}}.mixer.{}", name),
                            fmt::format("model.layers.{{l}}.{}", file),
                            "",
                            {},
                            {}});
    tensors.ignored.push_back(fmt::format("*.{}", file));
  }
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterMinimax(models::Registry& registry) {
  registry.Add({"minimax", {"MiniMaxForCausalLM"}, models::DefineMinimax});
}
}  // namespace banyan
