// SPDX-License-Identifier: Apache-2.0
// Nemotron H and Nemotron 3: layers of one block each, Mamba 2, attention without positions, a
// network of relu^2, or experts of them.
#include "models/recurrent.h"

namespace banyan::models {
namespace {

std::vector<std::string> NemotronBlockTypes(Config& config) {
  Fields& fields = config.fields;
  std::vector<std::string> types;
  for (std::string_view key : {"layers_block_type", "layer_types"})
    if (auto given = fields.Maybe<std::vector<std::string>>(key); given && types.empty())
      types = *std::move(given);
  const auto pattern = fields.Maybe<std::string>("hybrid_override_pattern");
  for (const char letter : types.empty() ? pattern.value_or("") : "") {
    types.emplace_back(letter == 'M'   ? "linear_attention"
                       : letter == '*' ? "full_attention"
                       : letter == '-' ? "mlp"
                       : letter == 'E' ? "moe"
                                       : std::string(1, letter));
  }
  if (types.empty() && fields.status().ok()) fields.Fail("layers_block_type", "is missing");
  return types;
}

void NemotronBlocks(Config& config, nn::DecoderSpec& spec) {
  const std::vector<std::string> types = NemotronBlockTypes(config);
  const auto declared = config.fields.Maybe<int>("num_hidden_layers", {1, 4096});
  if (!config.fields.status().ok()) return;
  if (declared && static_cast<std::size_t>(*declared) != types.size())
    return config.fields.Fail("layers_block_type",
                              fmt::format("has {} items for {} layers", types.size(), *declared));
  spec.layers.clear();
  for (const std::string& type : types) {
    nn::LayerSpec& layer = spec.layers.emplace_back();
    layer.rope = -1;
    layer.mixer = nn::Mixer::kNone;
    layer.feed_forward = nn::FeedForward::kNone;
    if (type == "linear_attention" || type == "mamba") {
      layer.mixer = nn::Mixer::kMamba2;
    } else if (type == "full_attention" || type == "attention") {
      layer.mixer = nn::Mixer::kAttention;
    } else if (type == "mlp") {
      const auto router = fmt::format("blk.{}.ffn_gate_inp.weight", spec.layers.size() - 1);
      layer.feed_forward =
          config.HasTensor(router) ? nn::FeedForward::kMoe : nn::FeedForward::kDense;
    } else if (type == "moe") {
      layer.feed_forward = nn::FeedForward::kMoe;
    } else {
      return config.fields.Fail("layers_block_type", fmt::format("'{}' is not known", type));
    }
  }
}

void NemotronMamba(Config& config, nn::DecoderSpec& spec) {
  Fields& fields = config.fields;
  nn::Mamba2Spec& mamba = spec.mamba2;
  const auto size = [&](std::initializer_list<std::string_view> keys, int fallback) {
    const int value = fields.MaybeAny<int>(keys, kHeadSizes).value_or(fallback);
    fields.Ignore(keys);
    return value;
  };
  const auto flag = [&](std::initializer_list<std::string_view> keys, bool fallback) {
    const bool value = fields.MaybeAny<bool>(keys).value_or(fallback);
    fields.Ignore(keys);
    return value;
  };
  mamba.heads = size({"mamba_num_heads"}, 128);
  mamba.head_dim = size({"mamba_head_dim"}, 64);
  mamba.groups = size({"mamba_n_groups", "n_groups"}, 8);
  mamba.state = size({"ssm_state_size"}, 128);
  mamba.kernel = size({"mamba_d_conv", "conv_kernel"}, 4);
  if (mamba.kernel < 2 || mamba.kernel > 8) fields.Fail("conv_kernel", "is not 2 to 8");
  if (mamba.heads % mamba.groups != 0) fields.Fail("n_groups", "does not divide mamba_num_heads");
  mamba.conv_bias = flag({"mamba_conv_bias", "use_conv_bias"}, true);
  mamba.in_bias = mamba.output_bias = fields.Optional<bool>("use_bias", false);
  mamba.norm_groups = mamba.groups;
  mamba.norm_by_groups = config.gguf();
  mamba.norm_eps = spec.norm.eps;
  // In place of time_step_limit; GGUF does not keep it.
  mamba.dt_min =
      config.gguf()
          ? 0.0f
          : fields.MaybeAny<float>({"mamba_dt_min", "time_step_min"}, {0, 1e3}).value_or(0.001f);
  OnlySilu(config, "mamba_hidden_act");
  fields.Ignore({"mamba_dt_min", "time_step_min", "mamba_dt_max", "time_step_max", "mamba_dt_limit",
                 "time_step_limit", "mamba_dt_init_floor", "time_step_floor", "time_step_rank",
                 "mamba_expand", "expand", "mamba_chunk_size", "chunk_size", "mamba_proj_bias",
                 "mamba_ssm_cache_dtype", "use_mamba_kernels"});
}

void NemotronMoe(Config& config, nn::DecoderSpec& spec) {
  constexpr Range kCount{1, 1 << 24};
  nn::MoeSpec& moe = spec.moe;
  const std::vector<nn::LayerSpec> layers = spec.layers;
  config.Moe(spec, "moe_intermediate_size", [](int) { return false; });
  spec.layers = layers;
  config.GroupedRouting(spec, true);
  moe.gated = false;
  if (config.gguf()) {
    for (std::size_t i = 0; i < layers.size() && moe.latent == 0; ++i)
      moe.latent =
          static_cast<int>(config.TensorRows(fmt::format("blk.{}.ffn_latent_down.weight", i)));
    return;
  }
  moe.shared_intermediate =
      config.fields.Required<int>("moe_shared_expert_intermediate_size", kCount);
  moe.shared_bias = moe.latent_bias = spec.mlp.up_bias;
  moe.latent = config.fields.Optional<int>("moe_latent_size", 0, kCount);
}

void DefineNemotronH(Config& config, Definition& definition) {
  constexpr Range kCount{1, 1 << 24};
  nn::DecoderSpec& spec = definition.spec;
  Fields& fields = config.fields;
  spec.vocab_size = fields.Required<int>("vocab_size", kCount);
  spec.hidden_size = fields.Required<int>("hidden_size", kCount);
  spec.context_length = fields.Optional<int64_t>("max_position_embeddings", 4096, {1, 1 << 30});
  NemotronBlocks(config, spec);
  config.Heads(spec, 8, 128);
  const auto eps = fields.MaybeAny<double>({"layer_norm_epsilon", "rms_norm_eps"}, {0, 1});
  fields.Ignore({"layer_norm_epsilon", "rms_norm_eps"});
  spec.norm = {.eps = static_cast<float>(eps.value_or(1e-5))};
  const bool bias = fields.Optional<bool>("mlp_bias", false);
  spec.mlp = {.intermediate = fields.Optional<int>("intermediate_size", 21504, kCount),
              .gated = false,
              .activation = config.Activation({"mlp_hidden_act"}, "relu2"),
              .up_bias = bias,
              .down_bias = bias};
  config.Only("attention_bias", false);
  NemotronMamba(config, spec);
  const bool mixture = std::ranges::any_of(spec.layers, [](const nn::LayerSpec& layer) {
    return layer.feed_forward == nn::FeedForward::kMoe;
  });
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  if (mixture) {
    NemotronMoe(config, spec);
    AddMoe(tensors, spec, {.block = "backbone.layers.{l}.mixer"});
    Rename(tensors, "layers.{l}.mlp.latent_in", "backbone.layers.{l}.mixer.fc1_latent_proj",
           "blk.{l}.ffn_latent_down");
    Rename(tensors, "layers.{l}.mlp.latent_out", "backbone.layers.{l}.mixer.fc2_latent_proj",
           "blk.{l}.ffn_latent_up");
  }
  // Its attention has no positions, whatever the config says of a rope.
  fields.Ignore({"rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor"});
  fields.Ignore({"sliding_window", "residual_in_fp32", "rescale_prenorm_residual",
                 "num_logits_to_keep", "moe_shared_expert_overlap", "mtp_layers_block_type",
                 "mtp_hybrid_override_pattern", "n_shared_experts", "num_nextn_predict_layers",
                 "n_routed_experts", "moe_intermediate_size", "norm_topk_prob",
                 "num_experts_per_tok", "moe_shared_expert_intermediate_size", "moe_latent_size",
                 "n_group", "topk_group", "routed_scaling_factor"});
  config.Tied(spec, false);

  tensors.base_prefix = "backbone.";
  tensors.ignored.push_back("mtp.*");
  Rename(tensors, "embed", "backbone.embeddings|backbone.embedding");
  Rename(tensors, "final_norm", "backbone.norm_f");
  Rename(tensors, "layers.{l}.attention_norm", "backbone.layers.{l}.norm");
  Rename(tensors, "layers.{l}.mlp_norm", "backbone.layers.{l}.norm", "blk.{l}.attn_norm");
  for (std::string_view part : {"q", "k", "v"})
    Rename(tensors, fmt::format("layers.{{l}}.attention.{}", part),
           fmt::format("backbone.layers.{{l}}.mixer.{}_proj", part));
  Rename(tensors, "layers.{l}.attention.output", "backbone.layers.{l}.mixer.o_proj");
  for (std::string_view part : {"up", "down"})
    Rename(tensors, fmt::format("layers.{{l}}.mlp.{}", part),
           fmt::format("backbone.layers.{{l}}.mixer.{}_proj", part));
  AddMamba2(tensors, "backbone.layers.{l}.mixer");
  // As transformers 5 has them in memory, and saves them on demand.
  for (weights::TensorRow& row : tensors.rows)
    if (row.safetensors.starts_with("backbone."))
      row.safetensors +=
          fmt::format("|model.{}", row.safetensors.substr(tensors.base_prefix.size()));
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterNemotronH(models::Registry& registry) {
  registry.Add({"nemotron_h", {"NemotronHForCausalLM"}, models::DefineNemotronH});
}
}  // namespace banyan
