// SPDX-License-Identifier: Apache-2.0
#include "models/latent.h"

#include <cmath>

namespace banyan::models {
namespace {

constexpr Range kCount{1, 1 << 24};

void AddNames(weights::TensorTable& table) {
  const auto name = [&](std::string_view logical, std::string_view safetensors,
                        std::string_view gguf) {
    Rename(table, fmt::format("layers.{{l}}.attention.{}", logical),
           fmt::format("model.layers.{{l}}.self_attn.{}", safetensors),
           fmt::format("blk.{{l}}.{}", gguf));
  };
  name("q_a", "q_a_proj", "attn_q_a");
  name("q_norm", "q_a_layernorm", "attn_q_a_norm");
  name("q_b", "q_b_proj", "attn_q_b");
  name("kv_a", "kv_a_proj_with_mqa", "attn_kv_a_mqa");
  name("kv_norm", "kv_a_layernorm", "attn_kv_a_norm");
  name("kv_b", "kv_b_proj", "attn_kv_b");
  name("index.q", "indexer.wq_b", "indexer.attn_q_b");
  name("index.k", "indexer.wk", "indexer.attn_k");
  name("index.k_norm", "indexer.k_norm", "indexer.k_norm");
  name("index.weights", "indexer.weights_proj", "indexer.proj");
  // llama.cpp's converter takes kv_b apart, and turns the keys.
  for (std::string_view part : {"k_b", "v_b"})
    table.rows.push_back({fmt::format("layers.{{l}}.attention.{}.{{h}}.weight", part), "",
                          fmt::format("blk.{{l}}.attn_{}.weight", part)});
}

}  // namespace

void DefineLatent(Config& config, Definition& definition, const LatentDefaults& defaults) {
  Fields& fields = config.fields;
  nn::DecoderSpec& spec = definition.spec;
  nn::LatentSpec latent;
  latent.rank = fields.Optional<int>("kv_lora_rank", defaults.rank, kCount);
  latent.nope_dim = fields.Optional<int>("qk_nope_head_dim", defaults.nope_dim, kCount);
  latent.rope_dim = fields.Optional<int>("qk_rope_head_dim", defaults.rope_dim, kCount);
  const int head_dim = latent.nope_dim + latent.rope_dim;
  spec = config.Dims(0, head_dim);
  latent.heads = spec.attention.heads;
  const bool no_q_rank = config.gguf() || fields.object().contains("q_lora_rank");
  latent.q_rank =
      fields.Optional<int>("q_lora_rank", no_q_rank ? 0 : defaults.q_rank, {0, 1 << 24});
  latent.value_dim = fields.Optional<int>(
      "v_head_dim",
      defaults.value_dim > 0 ? defaults.value_dim : spec.hidden_size / std::max(latent.heads, 1),
      kCount);
  latent.bias = fields.Optional<bool>("attention_bias", false);
  // The config classes say head_dim for one thing or the other; all heads have keys of their own.
  fields.Ignore({"head_dim", "qk_head_dim", "num_key_value_heads"});
  // The norms of the latents do not follow rms_norm_eps.
  latent.norm.eps = 1e-6f;
  spec.norm = config.RmsNorm("rms_norm_eps", defaults.eps);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  spec.mlp.up_bias = spec.mlp.down_bias = fields.Optional<bool>("mlp_bias", false);
  for (nn::LayerSpec& layer : spec.layers) layer.mixer = nn::Mixer::kLatent;

  spec.attention.head_dim = defaults.rope_of_whole_head ? head_dim : latent.rope_dim;
  nn::RopeDefaults rope;
  const bool interleaved =
      config.Flag("rope_interleave", defaults.pairing == ops::RopePairing::kInterleaved);
  rope.pairing = defaults.fixed_pairing ? defaults.pairing
                 : interleaved          ? ops::RopePairing::kInterleaved
                                        : ops::RopePairing::kHalves;
  rope.parameters = defaults.rope_parameters;
  if (defaults.rope_of_whole_head)
    rope.partial_rotary_factor = static_cast<double>(latent.rope_dim) / head_dim;
  config.Rope(spec, defaults.max_position, std::move(rope));
  if (spec.ropes.empty()) return;
  if (spec.ropes[0].dim != latent.rope_dim && config.status().ok())
    fields.Fail("qk_rope_head_dim", fmt::format("is {}, but the rope's rule turns {} elements",
                                                latent.rope_dim, spec.ropes[0].dim));
  latent.scale = static_cast<float>(spec.ropes[0].score_factor / std::sqrt(head_dim));
  spec.latent = latent;
  config.Tied(spec, defaults.tied);
  definition.tensors = LlamaTensors();
  AddNames(definition.tensors);
  // Some files have kv_b whole besides its parts.
  if (config.HasTensor("blk.0.attn_k_b.weight"))
    definition.tensors.ignored_gguf.push_back("blk.*.attn_kv_b.weight");
}

void AddSparseIndex(Config& config, Definition& definition, int heads, ops::RopePairing pairing) {
  Fields& fields = config.fields;
  nn::LatentSpec& latent = definition.spec.latent;
  latent.index_heads = fields.Optional<int>("index_n_heads", heads, {1, 1 << 12});
  latent.index_dim = fields.Optional<int>("index_head_dim", 128, {1, 1 << 14});
  latent.index_top = fields.Optional<int>("index_topk", 2048, {1, 1 << 24});
  latent.index_pairing = pairing;
  if (latent.q_rank == 0) fields.Fail("q_lora_rank", "is missing: the index reads that latent");
  if (latent.index_dim < latent.rope_dim)
    fields.Fail("index_head_dim", fmt::format("{} is less than qk_rope_head_dim {}",
                                              latent.index_dim, latent.rope_dim));
}

void AddDeepseekMoe(Config& config, Definition& definition, int first_sparse, int shared_default) {
  Fields& fields = config.fields;
  nn::DecoderSpec& spec = definition.spec;
  config.DropNextnLayers(definition);
  if (fields.Optional<int>("moe_layer_freq", 1, {0, 4096}) != 1)
    return fields.Fail("moe_layer_freq", "other than 1 is not implemented");
  const int dense = fields.Optional<int>("first_k_dense_replace", first_sparse, {0, 4096});
  std::vector<bool> sparse(spec.layers.size());
  for (std::size_t i = 0; i < sparse.size(); ++i) sparse[i] = static_cast<int>(i) >= dense;
  if (const auto types = fields.Maybe<std::vector<std::string>>("mlp_layer_types")) {
    if (types->size() != sparse.size())
      return fields.Fail("mlp_layer_types",
                         fmt::format("has {} items for {} layers", types->size(), sparse.size()));
    for (std::size_t i = 0; i < sparse.size(); ++i) {
      if ((*types)[i] != "sparse" && (*types)[i] != "dense")
        return fields.Fail("mlp_layer_types",
                           fmt::format("item {}: '{}' is not known", i, (*types)[i]));
      sparse[i] = (*types)[i] == "sparse";
    }
  }
  config.Moe(spec, "moe_intermediate_size", [&](int layer) { return sparse[layer]; });
  config.SharedExperts(spec, "n_shared_experts", shared_default);
  AddMoe(definition.tensors, spec);
  // Of training alone.
  fields.Ignore({"ep_size", "aux_loss_alpha", "seq_aux", "num_mtp_layers", "router_aux_loss_coef"});
}

void RouteAsDeepseekV3(Config& config, nn::DecoderSpec& spec, double scale, int groups,
                       int top_groups) {
  Fields& fields = config.fields;
  // GGUF says so where there are groups.
  config.GroupedRouting(spec, true, scale, config.gguf() ? 1 : groups,
                        config.gguf() ? 1 : top_groups);
  if (fields.Optional<std::string>("topk_method", "noaux_tc") != "noaux_tc")
    fields.Fail("topk_method", "other than noaux_tc is not of this family");
  if (fields.Optional<std::string>("scoring_func", "sigmoid") != "sigmoid")
    fields.Fail("scoring_func", "other than sigmoid is not of this family");
}

}  // namespace banyan::models
