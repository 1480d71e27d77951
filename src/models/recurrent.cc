// SPDX-License-Identifier: Apache-2.0
#include "models/recurrent.h"

#include <limits>

#include "ops/conv.h"

namespace banyan::models {
namespace {

constexpr Range kSizeRange{1, 1 << 24};
constexpr Range kKernelRange{ops::kMinConvKernel, ops::kMaxConvKernel};

std::string Within(std::string_view block, std::string_view name) {
  return fmt::format("{}.{}", block, name);
}

void AddConv(weights::TensorTable& table, std::string_view block) {
  Rename(table, "layers.{l}.mixer.conv", Within(block, "conv1d"), "blk.{l}.ssm_conv1d");
}

// One that has neither ".weight" nor ".bias" behind it. Conversion to GGUF has done -exp already.
void AddScalars(weights::TensorTable& table, std::string_view logical, std::string name,
                std::string_view gguf, bool minus_exp = false) {
  table.rows.push_back({fmt::format("layers.{{l}}.mixer.{}", logical),
                        std::move(name),
                        fmt::format("blk.{{l}}.{}", gguf),
                        {.minus_exp = minus_exp},
                        {}});
}

// JSON has no infinity: transformers 5 writes an object for it.
double LimitOf(Config& config, std::string_view key, const json::value& value) {
  if (value.is_number()) return value.to_number<double>();
  const json::object* object = value.if_object();
  const json::value* text = object != nullptr ? object->if_contains("__float__") : nullptr;
  if (text != nullptr && text->is_string() && text->get_string() == "Infinity")
    return std::numeric_limits<double>::infinity();
  config.fields.Fail(key, fmt::format("{} is not a number", json::serialize(value)));
  return 0;
}

}  // namespace

nn::DecoderSpec StateModelSizes(Config& config) {
  nn::DecoderSpec spec;
  spec.vocab_size = config.fields.Required<int>("vocab_size", kSizeRange);
  spec.hidden_size = config.fields.Required<int>("hidden_size", kSizeRange);
  const int layers = config.fields.Required<int>("num_hidden_layers", {1, 4096});
  spec.layers.resize(config.fields.status().ok() ? layers : 1);
  spec.context_length =
      config.fields.Optional<int64_t>("max_position_embeddings", 1 << 20, {1, 1 << 30});
  return spec;
}

void MixersByType(Config& config, nn::DecoderSpec& spec, std::string_view key, nn::Mixer recurrent,
                  const std::function<bool(int)>& attention) {
  const auto types = config.fields.Maybe<std::vector<std::string>>(key);
  if (!config.fields.status().ok()) return;
  if (types && types->size() != spec.layers.size())
    return config.fields.Fail(
        key, fmt::format("has {} items for {} layers", types->size(), spec.layers.size()));
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    bool attends = !types && attention(static_cast<int>(i));
    if (types) {
      const std::string& type = (*types)[i];
      attends = type == "full_attention" || type == "attention";
      if (!attends && type != "linear_attention" && type != "mamba" && type != "conv")
        return config.fields.Fail(key, fmt::format("item {}: '{}' is not known", i, type));
    }
    spec.layers[i].mixer = attends ? nn::Mixer::kAttention : recurrent;
  }
}

int SizeOrAuto(Config& config, std::string_view key, int fallback) {
  const json::value* value = config.fields.Raw(key);
  if (value != nullptr && value->is_string() && value->get_string() == "auto") return fallback;
  return config.fields.Optional<int>(key, fallback, {1, 1 << 16});
}

void OnlySilu(Config& config, std::string_view key) {
  if (config.Activation({key}, "silu") != ops::Activation::kSilu)
    config.Fail(Unimplemented("{}: '{}': only silu is implemented for this family",
                              config.fields.where(), key));
}

void TimeStepLimit(Config& config, nn::Mamba2Spec& mamba) {
  constexpr std::string_view kKey = "time_step_limit";
  const json::value* value = config.fields.Raw(kKey);
  if (value == nullptr || value->is_null()) return;
  const json::array* limits = value->if_array();
  if (limits == nullptr || limits->size() != 2)
    return config.fields.Fail(kKey, "is not a list of two numbers");
  mamba.dt_min = static_cast<float>(LimitOf(config, kKey, (*limits)[0]));
  mamba.dt_max = static_cast<float>(LimitOf(config, kKey, (*limits)[1]));
  if (!(mamba.dt_min <= mamba.dt_max)) config.fields.Fail(kKey, "has a low above its high");
}

void Mamba2Keys(Config& config, nn::DecoderSpec& spec, int inner) {
  nn::Mamba2Spec& mamba = spec.mamba2;
  Fields& fields = config.fields;
  mamba.heads = fields.Optional<int>("mamba_n_heads", 128, kHeadCounts);
  mamba.head_dim = SizeOrAuto(config, "mamba_d_head", inner / mamba.heads);
  if (int64_t{mamba.heads} * mamba.head_dim != inner)
    fields.Fail("mamba_n_heads",
                fmt::format("{} heads of {} are not {}", mamba.heads, mamba.head_dim, inner));
  mamba.groups = fields.Optional<int>("mamba_n_groups", 1, kHeadCounts);
  if (mamba.heads % mamba.groups != 0)
    fields.Fail("mamba_n_groups",
                fmt::format("{} does not divide mamba_n_heads {}", mamba.groups, mamba.heads));
  mamba.state = fields.Optional<int>("mamba_d_state", 256, kHeadSizes);
  mamba.kernel = fields.Optional<int>("mamba_d_conv", 4, kKernelRange);
  mamba.conv_bias = config.Flag("mamba_conv_bias", true);
  mamba.in_bias = mamba.output_bias = fields.Optional<bool>("mamba_proj_bias", false);
  mamba.norm_eps = spec.norm.eps;
  mamba.norm_by_groups = config.gguf();
  TimeStepLimit(config, mamba);
  OnlySilu(config, "hidden_act");
  fields.Ignore({"mamba_chunk_size", "num_logits_to_keep", "z_loss_coefficient"});
}

void GatedDeltaKeys(Config& config, nn::GatedDeltaSpec& spec, const nn::GatedDeltaSpec& defaults) {
  Fields& fields = config.fields;
  spec.key_heads = fields.Optional<int>("linear_num_key_heads", defaults.key_heads, kHeadCounts);
  spec.value_heads =
      fields.Optional<int>("linear_num_value_heads", defaults.value_heads, kHeadCounts);
  spec.key_dim = fields.Optional<int>("linear_key_head_dim", defaults.key_dim, kHeadSizes);
  spec.value_dim = fields.Optional<int>("linear_value_head_dim", defaults.value_dim, kHeadSizes);
  spec.kernel = fields.Optional<int>("linear_conv_kernel_dim", 4, kKernelRange);
  if (spec.key_dim < 1 || spec.value_dim < 1) fields.Fail("linear_key_head_dim", "is missing");
  if (spec.value_heads % spec.key_heads != 0)
    fields.Fail("linear_num_key_heads", fmt::format("{} does not divide linear_num_value_heads {}",
                                                    spec.key_heads, spec.value_heads));
}

void AddMamba(weights::TensorTable& table, std::string_view block) {
  Rename(table, "layers.{l}.mixer.in", Within(block, "in_proj"), "blk.{l}.ssm_in");
  Rename(table, "layers.{l}.mixer.select", Within(block, "x_proj"), "blk.{l}.ssm_x");
  Rename(table, "layers.{l}.mixer.dt", Within(block, "dt_proj"), "blk.{l}.ssm_dt");
  Rename(table, "layers.{l}.mixer.output", Within(block, "out_proj"), "blk.{l}.ssm_out");
  for (std::string_view norm : {"dt", "b", "c"})
    Rename(table, fmt::format("layers.{{l}}.mixer.{}_norm", norm),
           Within(block, fmt::format("{}_layernorm", norm)),
           fmt::format("blk.{{l}}.ssm_{}_norm", norm));
  AddConv(table, block);
  AddScalars(table, "a", Within(block, "A_log"), "ssm_a", true);
  AddScalars(table, "d", Within(block, "D"), "ssm_d");
}

void AddMamba2(weights::TensorTable& table, std::string_view block) {
  Rename(table, "layers.{l}.mixer.in", Within(block, "in_proj"), "blk.{l}.ssm_in");
  Rename(table, "layers.{l}.mixer.norm", Within(block, "norm"), "blk.{l}.ssm_norm");
  Rename(table, "layers.{l}.mixer.output", Within(block, "out_proj"), "blk.{l}.ssm_out");
  AddConv(table, block);
  AddScalars(table, "a", Within(block, "A_log"), "ssm_a", true);
  AddScalars(table, "d", Within(block, "D"), "ssm_d");
  AddScalars(table, "dt_bias", Within(block, "dt_bias"), "ssm_dt.bias");
}

void AddGatedDelta(weights::TensorTable& table, std::string_view block, std::string_view norm,
                   std::string_view output) {
  Rename(table, "layers.{l}.mixer.norm", Within(block, norm), "blk.{l}.ssm_norm");
  Rename(table, "layers.{l}.mixer.output", Within(block, output), "blk.{l}.ssm_out");
  AddConv(table, block);
  AddScalars(table, "rate", Within(block, "A_log"), "ssm_a", true);
  AddScalars(table, "dt_bias", Within(block, "dt_bias"), "ssm_dt.bias");
}

void SplitQueryAndGate(weights::TensorTable& table, const nn::DecoderSpec& spec) {
  const int64_t dim = spec.attention.head_dim;
  Rename(table, "layers.{l}.attention.gate", "model.layers.{l}.self_attn.q_proj", "blk.{l}.attn_q");
  int part = 0;
  for (std::string_view name : {"q", "gate"}) {
    for (std::string_view suffix : {"weight", "bias"}) {
      weights::TensorRow& row =
          Row(table, fmt::format("layers.{{l}}.attention.{}.{}", name, suffix));
      row.transform =
          row.gguf_transform = {.parts = {dim, dim}, .part = part, .groups = spec.attention.heads};
    }
    ++part;
  }
}

}  // namespace banyan::models
