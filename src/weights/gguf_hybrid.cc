// SPDX-License-Identifier: Apache-2.0
#include "weights/gguf_hybrid.h"

#include <algorithm>

#include "weights/gguf_keys.h"

namespace banyan::weights {
namespace {

// A family's names of ssm.{conv_kernel, inner_size, state_size, time_step_rank, group_count}; an
// empty one is not used. `per_head`: of inner_size / time_step_rank, where that is heads.
struct StateKeys {
  std::string_view arch;
  std::string_view kernel, inner, state, rank, groups, per_head;
};
constexpr StateKeys kStateKeys[] = {
    {"mamba", "conv_kernel", "intermediate_size", "state_size", "time_step_rank", "", ""},
    {"mamba2", "conv_kernel", "", "state_size", "num_heads", "n_groups", "head_dim"},
    {"jamba", "mamba_d_conv", "mamba_d_inner", "mamba_d_state", "mamba_dt_rank", "", ""},
    {"falcon-h1", "mamba_d_conv", "mamba_d_ssm", "mamba_d_state", "mamba_n_heads", "mamba_n_groups",
     "mamba_d_head"},
    {"granitehybrid", "mamba_d_conv", "mamba_d_inner", "mamba_d_state", "mamba_n_heads",
     "mamba_n_groups", "mamba_d_head"},
    {"nemotron_h", "conv_kernel", "", "ssm_state_size", "mamba_num_heads", "n_groups",
     "mamba_head_dim"},
    {"nemotron_h_moe", "conv_kernel", "", "ssm_state_size", "mamba_num_heads", "n_groups",
     "mamba_head_dim"},
    {"qwen3next", "linear_conv_kernel_dim", "", "linear_key_head_dim", "linear_num_value_heads",
     "linear_num_key_heads", "linear_value_head_dim"},
    {"qwen35", "linear_conv_kernel_dim", "", "linear_key_head_dim", "linear_num_value_heads",
     "linear_num_key_heads", "linear_value_head_dim"},
    {"qwen35moe", "linear_conv_kernel_dim", "", "linear_key_head_dim", "linear_num_value_heads",
     "linear_num_key_heads", "linear_value_head_dim"},
};

Status AddSizes(const GgufMetadata& metadata, const std::string& prefix, const StateKeys& keys,
                json::object& config) {
  const auto read = [&](std::string_view name, std::string_view own) -> StatusOr<int64_t> {
    BANYAN_ASSIGN_OR_RETURN(auto value, metadata.Int(fmt::format("{}ssm.{}", prefix, name)));
    if (value && !own.empty()) config[JsonKey(own)] = *value;
    return value.value_or(0);
  };
  BANYAN_RETURN_IF_ERROR(read("conv_kernel", keys.kernel).status());
  BANYAN_RETURN_IF_ERROR(read("state_size", keys.state).status());
  BANYAN_RETURN_IF_ERROR(read("group_count", keys.groups).status());
  BANYAN_ASSIGN_OR_RETURN(const int64_t inner, read("inner_size", keys.inner));
  BANYAN_ASSIGN_OR_RETURN(const int64_t rank, read("time_step_rank", keys.rank));
  if (!keys.per_head.empty() && rank > 0) {
    if (inner % rank != 0)
      return InvalidArgument("{}: '{}ssm.inner_size' {} is not a multiple of the {} heads",
                             metadata.path(), prefix, inner, rank);
    config[JsonKey(keys.per_head)] = inner / rank;
  }
  return OkStatus();
}

// Per layer, attention where there are key heads; for Nemotron H, a network where it has a width
// (of experts, if the layer has any: the tensors tell).
Status AddLayerTypes(const GgufMetadata& metadata, const std::string& prefix, const GgufArch& arch,
                     json::object& config) {
  BANYAN_ASSIGN_OR_RETURN(auto heads, metadata.Ints(prefix + "attention.head_count_kv"));
  BANYAN_ASSIGN_OR_RETURN(auto queries, metadata.Ints(prefix + "attention.head_count"));
  BANYAN_ASSIGN_OR_RETURN(auto widths, metadata.Ints(prefix + "feed_forward_length"));
  if (!heads || std::ranges::find(*heads, 0) == heads->end()) return OkStatus();
  const bool single = arch.name.starts_with("nemotron_h") && widths && !widths->empty();
  json::array types;
  for (std::size_t i = 0; i < heads->size(); ++i) {
    const bool feeds = single && (*widths)[std::min(i, widths->size() - 1)] > 0;
    types.push_back((*heads)[i] > 0 ? "full_attention" : feeds ? "mlp" : "linear_attention");
  }
  config["layer_types"] = std::move(types);
  config["num_key_value_heads"] = *std::ranges::max_element(*heads);
  if (queries && !queries->empty())
    config["num_attention_heads"] = *std::ranges::max_element(*queries);
  if (single)
    config["intermediate_size"] = std::max<int64_t>(*std::ranges::max_element(*widths), 1);
  return OkStatus();
}

}  // namespace

std::string_view HybridGgufKey(const GgufArch& arch, std::string_view config_key) {
  const auto* keys = std::ranges::find(kStateKeys, arch.name, &StateKeys::arch);
  if (keys == std::end(kStateKeys) || config_key.empty()) return {};
  if (config_key == keys->kernel) return "ssm.conv_kernel";
  if (config_key == keys->inner || config_key == keys->per_head) return "ssm.inner_size";
  if (config_key == keys->state) return "ssm.state_size";
  if (config_key == keys->rank) return "ssm.time_step_rank";
  return config_key == keys->groups ? "ssm.group_count" : std::string_view();
}

Status AddHybridKeys(const GgufMetadata& metadata, const GgufArch& arch, json::object& config) {
  const std::string prefix = fmt::format("{}.", metadata.architecture());
  if (!arch.name.starts_with("mamba"))
    BANYAN_RETURN_IF_ERROR(AddLayerTypes(metadata, prefix, arch, config));
  if (arch.name.starts_with("lfm2")) {
    BANYAN_ASSIGN_OR_RETURN(auto length, metadata.Int(prefix + "shortconv.l_cache"));
    if (length) config["conv_L_cache"] = *length;
  }
  const auto* keys = std::ranges::find(kStateKeys, arch.name, &StateKeys::arch);
  if (keys == std::end(kStateKeys)) return OkStatus();
  if (arch.name.starts_with("mamba")) {  // written as 0
    for (std::string_view key : {"num_attention_heads", "num_key_value_heads", "intermediate_size"})
      config.erase(JsonKey(key));
  }
  BANYAN_RETURN_IF_ERROR(AddSizes(metadata, prefix, *keys, config));
  if (arch.name.starts_with("qwen3")) {
    BANYAN_ASSIGN_OR_RETURN(auto interval, metadata.Int(prefix + "full_attention_interval"));
    if (interval) config["full_attention_interval"] = *interval;
  }
  if (arch.name == "granitehybrid") {
    BANYAN_ASSIGN_OR_RETURN(auto rope, metadata.Bool(prefix + "rope.scaling.finetuned"));
    if (rope) config["use_rope"] = *rope;
  }
  if (arch.name == "mamba") {
    BANYAN_ASSIGN_OR_RETURN(auto norms, metadata.Bool(prefix + "ssm.dt_b_c_rms"));
    if (norms.value_or(false)) {
      config["architectures"] = json::array(1, "FalconMambaForCausalLM");
      config["model_type"] = "falcon_mamba";
    }
  }
  return OkStatus();
}

}  // namespace banyan::weights
