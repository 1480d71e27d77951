// SPDX-License-Identifier: Apache-2.0
// LFM 2, and its mixtures: gated convolutions over three positions, attention in some layers.
#include <algorithm>

#include "models/recurrent.h"

namespace banyan::models {
namespace {

// The width of the dense networks, as a config that adjusts it means it.
int Lfm2Intermediate(Config& config) {
  constexpr Range kCount{1, 1 << 24};
  Fields& fields = config.fields;
  const auto named = fields.MaybeAny<int>({"block_ff_dim", "intermediate_size"}, kCount);
  fields.Ignore({"intermediate_size"});
  if (!named && fields.status().ok()) fields.Fail("intermediate_size", "is missing");
  int64_t width = named.value_or(1);
  if (config.gguf()) return static_cast<int>(width);
  const int multiple = fields.Optional<int>("block_multiple_of", 256, {1, 1 << 20});
  const auto factor = fields.Optional<double>("block_ffn_dim_multiplier", 1.0, {1e-3, 1e3});
  if (!fields.Optional<bool>("block_auto_adjust_ff_dim", true)) return static_cast<int>(width);
  width = static_cast<int64_t>(factor * static_cast<double>(2 * width / 3));
  width = (width + multiple - 1) / multiple * multiple;
  if (width > kCount.max) fields.Fail("block_ffn_dim_multiplier", "makes networks too wide");
  return static_cast<int>(std::min<int64_t>(width, 1 << 24));
}

// All but the feed-forward networks' sizes.
void DefineLfm2Layers(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  Fields& fields = config.fields;
  spec = StateModelSizes(config);
  config.Heads(spec, 8);
  spec.norm = config.RmsNorm("norm_eps", 1e-5);
  fields.Ignore({"block_norm_eps", "block_dim", "block_mlp_init_scale", "block_out_init_scale",
                 "block_use_swiglu", "block_use_xavier_init", "conv_dim", "conv_dim_out",
                 "conv_use_xavier_init", "use_pos_enc", "num_heads"});
  spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kHead;
  spec.attention.qk_norm_spec = spec.norm;
  nn::RopeDefaults rope;
  rope.theta = 1000000.0;
  const auto theta = fields.Maybe<double>("theta"), rope_theta = fields.Maybe<double>("rope_theta");
  if (theta && rope_theta && *theta != *rope_theta)
    fields.Fail("theta", fmt::format("{} is not rope_theta {}", *theta, *rope_theta));
  rope.theta_key = theta ? "theta" : "rope_theta";
  config.Rope(spec, 128000, std::move(rope));
  const auto attention = fields.Maybe<std::vector<int>>("full_attn_idxs", {0, 4096});
  MixersByType(config, spec, "layer_types", nn::Mixer::kShortConv, [&](int layer) {
    return !attention || std::ranges::find(*attention, layer) != attention->end();
  });
  spec.short_conv.kernel = fields.Optional<int>("conv_L_cache", 3, {2, 8});
  spec.short_conv.bias = fields.Optional<bool>("conv_bias", false);
  spec.tied = fields.MaybeAny<bool>({"tie_embedding", "tie_word_embeddings"}).value_or(true);
  fields.Ignore({"tie_word_embeddings"});

  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  Rename(tensors, "final_norm", "model.embedding_norm", "token_embd_norm|output_norm");
  Rename(tensors, "layers.{l}.attention_norm", "model.layers.{l}.operator_norm");
  Rename(tensors, "layers.{l}.mlp_norm", "model.layers.{l}.ffn_norm");
  Rename(tensors, "layers.{l}.attention.output", "model.layers.{l}.self_attn.out_proj");
  Rename(tensors, "layers.{l}.attention.q_norm", "model.layers.{l}.self_attn.q_layernorm");
  Rename(tensors, "layers.{l}.attention.k_norm", "model.layers.{l}.self_attn.k_layernorm");
  Rename(tensors, "layers.{l}.mlp.gate", "model.layers.{l}.feed_forward.w1");
  Rename(tensors, "layers.{l}.mlp.up", "model.layers.{l}.feed_forward.w3");
  Rename(tensors, "layers.{l}.mlp.down", "model.layers.{l}.feed_forward.w2");
  Rename(tensors, "layers.{l}.mixer.in", "model.layers.{l}.conv.in_proj",
         "blk.{l}.shortconv.in_proj");
  Rename(tensors, "layers.{l}.mixer.conv", "model.layers.{l}.conv.conv", "blk.{l}.shortconv.conv");
  Rename(tensors, "layers.{l}.mixer.output", "model.layers.{l}.conv.out_proj",
         "blk.{l}.shortconv.out_proj");
}

void DefineLfm2(Config& config, Definition& definition) {
  DefineLfm2Layers(config, definition);
  definition.spec.mlp.intermediate = Lfm2Intermediate(config);
}

void DefineLfm2Moe(Config& config, Definition& definition) {
  DefineLfm2Layers(config, definition);
  nn::DecoderSpec& spec = definition.spec;
  spec.mlp.intermediate = config.fields.Required<int>("intermediate_size", {1, 1 << 24});
  const int dense = config.fields.Optional<int>("num_dense_layers", 2, {0, 4096});
  config.Moe(spec, "moe_intermediate_size", [dense](int layer) { return layer >= dense; });
  config.GroupedRouting(spec, true);
  spec.moe.routing.added_sum = 1e-6f;
  if (!config.gguf())
    spec.moe.correction_bias = config.fields.Optional<bool>("use_expert_bias", true);
  AddMoe(definition.tensors, spec,
         {.block = "model.layers.{l}.feed_forward",
          .gate = "w1",
          .up = "w3",
          .down = "w2",
          .correction = "expert_bias"});
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterLfm2(models::Registry& registry) {
  registry.Add({"lfm2", {"Lfm2ForCausalLM"}, models::DefineLfm2});
  registry.Add({"lfm2_moe", {"Lfm2MoeForCausalLM"}, models::DefineLfm2Moe});
}
}  // namespace banyan
