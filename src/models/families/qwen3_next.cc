// SPDX-License-Identifier: Apache-2.0
// Qwen3-Next, Qwen 3.5 and its mixtures: the gated delta rule in three layers of four, gated
// attention with rotation of a quarter of each head in the fourth.
#include "models/recurrent.h"

namespace banyan::models {
namespace {

// What they share. `head_dim` is the class's default.
void DefineQwenDelta(Config& config, Definition& definition, int kv_heads) {
  nn::DecoderSpec& spec = definition.spec;
  Fields& fields = config.fields;
  config.Heads(spec, kv_heads, 256);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  OnlySilu(config, "hidden_act");
  spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kHead;
  spec.attention.qk_norm_spec = spec.norm;
  spec.attention.output_gate = true;
  spec.attention.qkv_bias = spec.attention.output_bias = spec.attention.output_gate_bias =
      fields.Optional<bool>("attention_bias", false);
  nn::RopeDefaults rope;
  rope.partial_rotary_factor = 0.25;
  config.Rope(spec, 32768, std::move(rope));
  const int interval = fields.Optional<int>("full_attention_interval", 4, {1, 4096});
  MixersByType(config, spec, "layer_types", nn::Mixer::kGatedDelta,
               [&](int layer) { return (layer + 1) % interval == 0; });
  GatedDeltaKeys(config, spec.gated_delta,
                 {.key_heads = 16, .value_heads = 32, .key_dim = 128, .value_dim = 128});
  spec.gated_delta.norm_eps = spec.norm.eps;
  fields.Ignore({"mtp_num_hidden_layers", "mtp_use_dedicated_embeddings", "mamba_ssm_dtype",
                 "attn_output_gate", "output_router_logits", "router_aux_loss_coef"});
  config.Tied(spec, false);

  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  config.DropNextnLayers(definition);
  AddOneToNorms(tensors);
  Rename(tensors, "layers.{l}.mlp_norm", "model.layers.{l}.post_attention_layernorm",
         "blk.{l}.post_attention_norm");
  SplitQueryAndGate(tensors, spec);
  AddGatedDelta(tensors, "model.layers.{l}.linear_attn", "norm", "out_proj");
}

void AddQwenMixture(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  if (!config.gguf()) {
    spec.moe.shared_intermediate =
        config.fields.Required<int>("shared_expert_intermediate_size", {1, 1 << 24});
    spec.moe.shared_gate = true;
  }
  AddMoe(definition.tensors, spec, {.shared = "shared_expert"});
}

// In turn for each key head: its query, its key, and its value heads' values and gates; and their
// betas and decays.
void DefineQwen3Next(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = StateModelSizes(config);
  spec.mlp.intermediate = config.fields.Optional<int>("intermediate_size", 5632, {1, 1 << 24});
  DefineQwenDelta(config, definition, 2);
  config.QwenMoe(spec);
  spec.moe.routing.normalize = config.fields.Optional<bool>("norm_topk_prob", true);
  AddQwenMixture(config, definition);
  const nn::GatedDeltaSpec& delta = spec.gated_delta;
  const int64_t shared = delta.value_heads / std::max(delta.key_heads, 1);
  const int64_t values = shared * delta.value_dim;
  const auto fused = [&](std::string_view file, std::string_view gguf,
                         std::initializer_list<std::string_view> names,
                         const std::vector<int64_t>& sizes) {
    int part = 0;
    for (std::string_view name : names) {
      const weights::Transform transform = {
          .parts = sizes, .part = part++, .groups = delta.key_heads};
      definition.tensors.rows.push_back(
          {fmt::format("layers.{{l}}.mixer.{}.weight", name),
           fmt::format("model.layers.{{l}}.linear_attn.{}.weight", file),
           fmt::format("blk.{{l}}.{}.weight", gguf), transform, transform});
    }
  };
  fused("in_proj_qkvz", "ssm_in", {"q", "k", "v", "z"},
        {delta.key_dim, delta.key_dim, values, values});
  fused("in_proj_ba", "ssm_ba", {"b", "a"}, {shared, shared});
  if (!config.HasTensor("blk.0.attn_gate.weight")) return;
  // Newer conversions to GGUF have put q, k and v in front, by heads, and z apart.
  const int64_t keys = delta.key_heads * int64_t{delta.key_dim};
  int part = 0;
  for (std::string_view name : {"q", "k", "v", "z"}) {
    weights::TensorRow& row =
        Row(definition.tensors, fmt::format("layers.{{l}}.mixer.{}.weight", name));
    row.gguf = name == "z" ? "blk.{l}.attn_gate.weight" : "blk.{l}.attn_qkv.weight";
    row.gguf_transform = {};
    if (name != "z")
      row.gguf_transform = {.parts = {keys, keys, values * delta.key_heads}, .part = part++};
  }
}

// q, k and v stacked, the rest by themselves.
void AddQwen35Projections(Config& config, Definition& definition) {
  nn::GatedDeltaSpec& delta = definition.spec.gated_delta;
  weights::TensorTable& tensors = definition.tensors;
  delta.keys_in_turn = config.gguf();
  const int64_t keys = int64_t{delta.key_heads} * delta.key_dim;
  const int64_t values = int64_t{delta.value_heads} * delta.value_dim;
  int part = 0;
  for (std::string_view name : {"q", "k", "v"}) {
    const weights::Transform transform = {.parts = {keys, keys, values}, .part = part++};
    tensors.rows.push_back({fmt::format("layers.{{l}}.mixer.{}.weight", name),
                            "model.layers.{l}.linear_attn.in_proj_qkv.weight",
                            "blk.{l}.attn_qkv.weight", transform, transform});
  }
  const auto plain = [&](std::string_view name, std::string_view gguf) {
    Rename(tensors, fmt::format("layers.{{l}}.mixer.{}", name),
           fmt::format("model.layers.{{l}}.linear_attn.in_proj_{}", name), gguf);
  };
  plain("z", "blk.{l}.attn_gate");
  plain("b", "blk.{l}.ssm_beta");
  plain("a", "blk.{l}.ssm_alpha");
}

void DefineQwen35(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = StateModelSizes(config);
  spec.mlp.intermediate = config.fields.Required<int>("intermediate_size", {1, 1 << 24});
  DefineQwenDelta(config, definition, 4);
  AddQwen35Projections(config, definition);
}

void DefineQwen35Moe(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = StateModelSizes(config);
  DefineQwenDelta(config, definition, 2);
  config.fields.Ignore({"intermediate_size"});
  config.Moe(spec, "moe_intermediate_size");
  spec.moe.routing.normalize = true;
  AddQwenMixture(config, definition);
  AddQwen35Projections(config, definition);
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterQwen3Next(models::Registry& registry) {
  registry.Add({"qwen3_next", {"Qwen3NextForCausalLM"}, models::DefineQwen3Next});
  registry.Add({"qwen3_5_text", {"Qwen3_5ForCausalLM"}, models::DefineQwen35});
  registry.Add({"qwen3_5_moe_text", {"Qwen3_5MoeForCausalLM"}, models::DefineQwen35Moe});
}
}  // namespace banyan
