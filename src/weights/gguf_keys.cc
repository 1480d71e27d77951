// SPDX-License-Identifier: Apache-2.0
#include "weights/gguf_keys.h"

#include <algorithm>
#include <iterator>

#include "weights/gguf_hybrid.h"

namespace banyan::weights {
namespace {

using Kind = GgufKey::Kind;

constexpr GgufKey kCommon[] = {
    {"block_count", "num_hidden_layers", Kind::kInt},
    {"embedding_length", "hidden_size", Kind::kInt},
    {"feed_forward_length", "intermediate_size", Kind::kInts},
    {"attention.head_count", "num_attention_heads", Kind::kInts},
    {"attention.head_count_kv", "num_key_value_heads", Kind::kInts},
    {"attention.key_length", "head_dim", Kind::kInt},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps", Kind::kFloat},
    {"attention.layer_norm_epsilon", "layer_norm_eps", Kind::kFloat},
    {"attention.clamp_kqv", "clip_qkv", Kind::kFloat},
    {"context_length", "max_position_embeddings", Kind::kInt},
    {"use_parallel_residual", "use_parallel_residual", Kind::kBool},
    {"logit_scale", "logit_scale", Kind::kFloat},
    {"embedding_scale", "embedding_multiplier", Kind::kFloat},
    {"residual_scale", "residual_multiplier", Kind::kFloat},
    {"attention.scale", "attention_multiplier", Kind::kFloat},
    {"attn_logit_softcapping", "attn_logit_softcapping", Kind::kFloat},
    {"final_logit_softcapping", "final_logit_softcapping", Kind::kFloat},
    {"expert_count", "num_experts", Kind::kInt},
    {"expert_used_count", "num_experts_per_tok", Kind::kInt},
    {"expert_feed_forward_length", "moe_intermediate_size", Kind::kInt},
    {"expert_shared_feed_forward_length", "shared_expert_intermediate_size", Kind::kInt},
    {"expert_weights_norm", "norm_topk_prob", Kind::kBool},
    {"expert_weights_scale", "routed_scaling_factor", Kind::kFloat},
    {"expert_group_count", "n_group", Kind::kInt},
    {"expert_group_used_count", "topk_group", Kind::kInt},
    {"nextn_predict_layers", "num_nextn_predict_layers", Kind::kInt},
};

// Keys that are read one by one, for messages alone.
constexpr std::pair<std::string_view, std::string_view> kOthers[] = {
    {"vocab_size", "vocab_size"},
    {"attention.sliding_window", "sliding_window"},
    {"attention.sliding_window_pattern", "layer_types"},
    {"attention.value_length", "v_head_dim"},
    {"attention.kv_lora_rank", "kv_lora_rank"},
    {"attention.q_lora_rank", "q_lora_rank"},
    {"attention.key_length", "qk_nope_head_dim"},
    {"attention.indexer.head_count", "index_n_heads"},
    {"attention.indexer.key_length", "index_head_dim"},
    {"attention.indexer.top_k", "index_topk"},
    {"shortconv.l_cache", "conv_L_cache"},
    {"rope.freq_base", "rope_theta"},
    {"rope.freq_base_swa", "rope_local_base_freq"},
    {"rope.dimension_count", "partial_rotary_factor"},
    {"rope.dimension_count", "qk_rope_head_dim"},
    {"rope.scaling.type", "rope_type"},
    {"rope.scaling.factor", "factor"},
    {"rope.scaling.original_context_length", "original_max_position_embeddings"},
    {"rope.scaling.attn_factor", "attention_factor"},
    {"rope.scaling.yarn_log_multiplier", "mscale_all_dim"},
    {"rope.scaling.yarn_beta_fast", "beta_fast"},
    {"rope.scaling.yarn_beta_slow", "beta_slow"},
};

// Those whose norms subtract the mean: the others have RMS norms.
constexpr std::string_view kLayerNorms[] = {"cohere2",  "command-r", "falcon", "gpt2",
                                            "gptneox",  "nemotron",  "olmo",   "phi2",
                                            "stablelm", "starcoder2"};

constexpr std::string_view kMamba1 =
    "ssm.conv_kernel ssm.inner_size ssm.state_size ssm.time_step_rank";
constexpr std::string_view kMamba2 =
    "ssm.conv_kernel ssm.inner_size ssm.state_size ssm.time_step_rank ssm.group_count";
constexpr std::string_view kLatent =
    "attention.kv_lora_rank attention.key_length attention.value_length rope.dimension_count";
constexpr std::string_view kSparseLatent =
    "attention.kv_lora_rank attention.key_length attention.value_length rope.dimension_count "
    "attention.indexer.head_count attention.indexer.key_length attention.indexer.top_k";

// What an architecture needs besides, separated by blanks.
constexpr std::pair<std::string_view, std::string_view> kNeeds[] = {
    {"cohere2", "logit_scale attention.sliding_window"},
    {"command-r", "logit_scale"},
    {"deepseek2", kLatent},
    {"deepseek32", kSparseLatent},
    {"falcon-h1", kMamba2},
    {"gemma3", "attention.sliding_window"},
    {"glm-dsa", kSparseLatent},
    {"gpt-oss", "attention.sliding_window"},
    {"gptneox", "use_parallel_residual"},
    {"granite", "logit_scale"},
    {"granitehybrid", kMamba2},
    {"granitemoe", "logit_scale"},
    {"jamba", kMamba1},
    {"lfm2", "shortconv.l_cache"},
    {"lfm2moe", "shortconv.l_cache"},
    {"mamba", kMamba1},
    {"mamba2", kMamba2},
    {"minicpm3", "attention.q_lora_rank attention.kv_lora_rank rope.dimension_count"},
    {"nemotron_h", kMamba2},
    {"nemotron_h_moe", kMamba2},
    {"qwen35", kMamba2},
    {"qwen35moe", kMamba2},
    {"qwen3next", kMamba2},
};

// The words of a list, one after another.
template <typename Visit>
void ForEachWord(std::string_view words, Visit visit) {
  while (!words.empty()) {
    const std::size_t end = std::min(words.find(' '), words.size());
    visit(words.substr(0, end));
    words.remove_prefix(std::min(end + 1, words.size()));
  }
}

// After "{arch}."; empty when `config_key` comes from none.
std::string_view KeyOf(const GgufArch* arch, std::string_view config_key) {
  if (arch != nullptr) {
    const std::string_view of_state = HybridGgufKey(*arch, config_key);
    if (!of_state.empty()) return of_state;
  }
  for (const GgufKey& key : kCommon)
    if (OwnConfigKey(arch, key.config) == config_key) return key.gguf;
  for (const auto& [gguf, config] : kOthers)
    if (config == config_key) return gguf;
  for (const GgufKey& key : kCommon)
    if (key.config == config_key) return key.gguf;  // whatever the family calls it
  return {};
}

bool IsWord(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

}  // namespace

std::span<const GgufKey> CommonGgufKeys() { return kCommon; }

std::string_view OwnConfigKey(const GgufArch* arch, std::string_view common) {
  std::string_view name = common;
  ForEachWord(arch != nullptr ? arch->renames : std::string_view(), [&](std::string_view rename) {
    const std::size_t equals = rename.find('=');
    if (rename.substr(0, equals) == common) name = rename.substr(equals + 1);
  });
  return name;
}

Status CheckGgufKeys(const GgufMetadata& metadata) {
  const GgufArch* arch = FindGgufArch(metadata.architecture());
  if (arch == nullptr) return OkStatus();
  std::string missing;
  const auto need = [&](std::string_view key) {
    const std::string full = fmt::format("{}.{}", arch->name, key);
    if (missing.empty() && !metadata.Has(full)) missing = full;
  };
  need("context_length");
  const bool layer_norm = std::ranges::find(kLayerNorms, arch->name) != std::end(kLayerNorms);
  need(layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon");
  for (const auto& [name, keys] : kNeeds)
    if (name == arch->name) ForEachWord(keys, need);
  if (missing.empty()) return OkStatus();
  return InvalidArgument("{}: '{}' is missing", metadata.path(), missing);
}

std::string InGgufKeys(const GgufMetadata& metadata, std::string_view message) {
  const GgufArch* arch = FindGgufArch(metadata.architecture());
  std::string out;
  for (std::size_t begin = 0, end = 0; begin < message.size(); begin = end) {
    end = begin + 1;
    if (!IsWord(message[begin])) {
      out += message[begin];
      continue;
    }
    while (end < message.size() && IsWord(message[end])) ++end;
    const std::string_view word = message.substr(begin, end - begin);
    const bool quoted =
        begin > 0 && message[begin - 1] == '\'' && end < message.size() && message[end] == '\'';
    // (One of the keys, `factor`, is also an English word.)
    const bool is_key = quoted || word.find('_') != std::string_view::npos;
    const std::string_view key = is_key ? KeyOf(arch, word) : std::string_view();
    out += key.empty() ? std::string(word) : fmt::format("{}.{}", metadata.architecture(), key);
  }
  return out;
}

}  // namespace banyan::weights
