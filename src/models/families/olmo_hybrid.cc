// SPDX-License-Identifier: Apache-2.0
// OLMo Hybrid: the gated delta rule with betas up to 2 and norms before the blocks, and every
// fourth layer attention as OLMo 2 has it, norms behind the blocks.
#include <algorithm>

#include "models/recurrent.h"

namespace banyan::models {
namespace {

// A theta that is there and null, in the rope's object or else beside it, means no rope; one that
// is absent has a default.
bool Rotates(const json::object& config) {
  for (std::string_view key : {"rope_scaling", "rope_parameters"}) {
    const json::value* rope = config.if_contains(key);
    if (rope == nullptr || !rope->is_object() || rope->get_object().empty()) continue;
    if (const json::value* theta = rope->get_object().if_contains("rope_theta"))
      return !theta->is_null();
    break;
  }
  const json::value* theta = config.if_contains("rope_theta");
  return theta == nullptr || !theta->is_null();
}

void DefineOlmoHybrid(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  Fields& fields = config.fields;
  spec = config.Dims();
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  OnlySilu(config, "hidden_act");
  spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kWhole;
  spec.attention.qk_norm_spec = spec.norm;
  spec.attention.qkv_bias = spec.attention.output_bias =
      fields.Optional<bool>("attention_bias", false);
  const auto count = static_cast<int>(spec.layers.size());
  MixersByType(config, spec, "layer_types", nn::Mixer::kGatedDelta,
               [&](int layer) { return layer % 4 == 3 || (count < 4 && layer == count - 1); });
  const bool rope = Rotates(fields.object());
  if (rope) {
    config.Rope(spec, 65536);
  } else {
    fields.Ignore({"rope_parameters", "rope_scaling", "rope_theta"});
    spec.context_length = fields.Optional<int64_t>("max_position_embeddings", 65536, {1, 1 << 30});
  }
  for (nn::LayerSpec& layer : spec.layers) {
    layer.norms_behind = layer.mixer == nn::Mixer::kAttention;
    layer.rope = rope ? 0 : -1;
  }
  nn::GatedDeltaSpec& delta = spec.gated_delta;
  const int heads = fields.Optional<int>("linear_num_key_heads", spec.attention.heads, kHeadCounts);
  const int key_dim = fields.Optional<int>(
      "linear_key_head_dim", static_cast<int>(0.75 * spec.hidden_size / heads), kHeadSizes);
  GatedDeltaKeys(config, delta,
                 {.key_heads = heads,
                  .value_heads = spec.attention.heads,
                  .key_dim = key_dim,
                  .value_dim = 2 * key_dim});
  delta.norm_eps = 1e-5f;  // whatever rms_norm_eps says
  if (fields.Optional<bool>("linear_allow_neg_eigval", true)) delta.beta_scale = 2.0f;
  // Whole, or stacked from three, in which transformers 5 does not always write q, k and v apart.
  const auto first = std::ranges::find(spec.layers, nn::Mixer::kGatedDelta, &nn::LayerSpec::mixer);
  const auto rows_of = [&](std::string_view conv) {
    const std::string name =
        fmt::format("layers.{}.linear_attn.{}.weight", first - spec.layers.begin(), conv);
    return std::max(config.TensorRows("model." + name), config.TensorRows(name));
  };
  int64_t rows = 0;
  for (std::string_view part : {"q_conv1d", "k_conv1d", "v_conv1d"}) {
    delta.conv_parts.push_back(static_cast<int>(rows_of(part)));
    rows += delta.conv_parts.back();
  }
  if (rows_of("conv1d") > 0) {
    delta.conv_parts.clear();
  } else if (rows != delta.conv_dim()) {
    delta.conv_parts = {delta.key_heads * delta.key_dim, delta.key_heads * delta.key_dim,
                        delta.value_heads * delta.value_dim};
  }
  fields.Ignore({"linear_a_log_max", "linear_a_log_min", "linear_dt_init_floor", "linear_dt_max",
                 "linear_dt_min"});
  config.Tied(spec, false);

  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  Rename(tensors, "layers.{l}.attention_norm",
         "model.layers.{l}.attention_layer_norm|model.layers.{l}.input_layernorm");
  Rename(tensors, "layers.{l}.mlp_norm",
         "model.layers.{l}.feedforward_layer_norm|model.layers.{l}.post_attention_layernorm");
  // (transformers 5 renames this one of the attention layers too when it saves.)
  Rename(tensors, "layers.{l}.attention_post_norm",
         "model.layers.{l}.post_attention_layernorm|model.layers.{l}.feedforward_layer_norm");
  Rename(tensors, "layers.{l}.mlp_post_norm", "model.layers.{l}.post_feedforward_layernorm");
  AddGatedDelta(tensors, "model.layers.{l}.linear_attn", "o_norm", "o_proj");
  for (std::string_view part : {"q", "k", "v", "b", "a", "z"})
    Rename(tensors, fmt::format("layers.{{l}}.mixer.{}", part),
           fmt::format("model.layers.{{l}}.linear_attn.{}_proj", part == "z" ? "g" : part));
  for (std::string_view part : {"q", "k", "v"})
    Rename(tensors, fmt::format("layers.{{l}}.mixer.conv.{}", part),
           fmt::format("model.layers.{{l}}.linear_attn.{}_conv1d", part));
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterOlmoHybrid(models::Registry& registry) {
  registry.Add({"olmo_hybrid", {"OlmoHybridForCausalLM"}, models::DefineOlmoHybrid});
}
}  // namespace banyan
