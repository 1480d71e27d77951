// SPDX-License-Identifier: Apache-2.0
// Mixtures of experts: their keys in configs and their tensors' names.
#include <algorithm>
#include <functional>

#include "models/model_def.h"

namespace banyan::models {
namespace {
constexpr Range kSizes{1, 1 << 24};
constexpr Range kExperts{1, 1 << 16};
}  // namespace

void Config::Moe(nn::DecoderSpec& spec, std::string_view intermediate,
                 const std::function<bool(int)>& sparse) {
  nn::MoeSpec& moe = spec.moe;
  moe.activation = spec.mlp.activation;
  const auto any = [&](std::initializer_list<std::string_view> keys) {
    std::optional<int> value;
    for (std::string_view key : keys) {
      const json::value* raw = fields.Raw(key);
      if (value || raw == nullptr || raw->is_null()) continue;
      if (!raw->is_array()) {
        value = fields.Required<int>(key, kExperts);
        continue;
      }
      // Hunyuan's are per layer.
      const auto values = fields.Required<std::vector<int>>(key, kExperts);
      if (values.empty() ||
          std::ranges::adjacent_find(values, std::ranges::not_equal_to()) != values.end()) {
        fields.Fail(key, "is not the same in all layers, which is not implemented");
      } else {
        value = values.front();
      }
    }
    if (!value && fields.status().ok())
      fields.Fail(*keys.begin(), fmt::format("is missing (other names of it are {})",
                                             fmt::join(keys.begin() + 1, keys.end(), ", ")));
    return value.value_or(1);
  };
  moe.experts = any({"num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"});
  moe.routing.top_k = any({"num_experts_per_tok", "moe_k", "moe_topk"});
  if (gguf()) return MoeOfTensors(spec);
  moe.intermediate = fields.Required<int>(intermediate, kSizes);
  for (std::size_t i = 0; i < spec.layers.size(); ++i)
    if (sparse(static_cast<int>(i))) spec.layers[i].feed_forward = nn::FeedForward::kMoe;
}

// Converters write different keys for the same sizes; the tensors do not lie.
void Config::MoeOfTensors(nn::DecoderSpec& spec) {
  nn::MoeSpec& moe = spec.moe;
  fields.Ignore({"moe_intermediate_size", "shared_expert_intermediate_size"});
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    const auto find = [&](std::string_view name) {
      return checkpoint_.Find(fmt::format("blk.{}.{}", i, name));
    };
    const auto rows = [&](const Tensor* tensor) {
      return static_cast<int>(tensor->dim(tensor->rank() - 2));
    };
    if (find("ffn_gate_inp.weight") == nullptr) continue;
    spec.layers[i].feed_forward = nn::FeedForward::kMoe;
    for (std::string_view name : {"ffn_up_exps.weight", "ffn_up.0.weight"}) {
      const Tensor* up = find(name);
      if (up != nullptr && up->rank() >= 2) moe.intermediate = rows(up);
    }
    const Tensor* fused = find("ffn_gate_up_exps.weight");
    if (fused != nullptr && fused->rank() == 3) moe.intermediate = rows(fused) / 2;
    const Tensor* shared = find("ffn_up_shexp.weight");
    if (shared != nullptr && shared->rank() == 2) moe.shared_intermediate = rows(shared);
    moe.shared_bias = find("ffn_up_shexp.bias") != nullptr;
    moe.shared_gate = find("ffn_gate_inp_shexp.weight") != nullptr;
    const Tensor* latent = find("ffn_latent_down.weight");
    if (latent != nullptr && latent->rank() == 2) moe.latent = rows(latent);
    moe.router_bias = find("ffn_gate_inp.bias") != nullptr;
    moe.expert_bias = find("ffn_down_exps.bias") != nullptr;
    moe.correction_bias = find("exp_probs_b.bias") != nullptr || find("exp_probs_b") != nullptr;
  }
  if (moe.intermediate == 0 && fields.status().ok())
    Fail(InvalidArgument("{}: no layer has tensors 'ffn_gate_inp' and 'ffn_up_exps'",
                         checkpoint_.path()));
}

void Config::SharedExperts(nn::DecoderSpec& spec, std::string_view key, int fallback) {
  const int count = fields.Optional<int>(key, fallback, {0, 64});
  if (!gguf()) spec.moe.shared_intermediate = count * spec.moe.intermediate;
}

void Config::GroupedRouting(nn::DecoderSpec& spec, bool normalize, double scale, int groups,
                            int top_groups) {
  ops::Routing& routing = spec.moe.routing;
  routing.score = ops::Routing::Score::kSigmoid;
  routing.group_score = ops::Routing::GroupScore::kTopTwoSum;
  routing.normalize = Flag("norm_topk_prob", normalize);
  routing.scale = static_cast<float>(
      fields.Optional<double>("routed_scaling_factor", gguf() ? 1.0 : scale, {0, 1e6}));
  routing.groups = fields.Optional<int>("n_group", groups, {1, 256});
  routing.top_groups = fields.Optional<int>("topk_group", top_groups, {1, 256});
  if (spec.moe.experts % routing.groups != 0)
    fields.Fail("n_group",
                fmt::format("{} does not divide {} experts", routing.groups, spec.moe.experts));
  if (routing.top_groups > routing.groups)
    fields.Fail("topk_group",
                fmt::format("{} is more than n_group {}", routing.top_groups, routing.groups));
  if (fields.status().ok() && spec.moe.experts > 0 &&
      routing.top_k > spec.moe.experts / routing.groups * routing.top_groups)
    fields.Fail("num_experts_per_tok",
                fmt::format("{} is more than there are in topk_group {} of n_group {}",
                            routing.top_k, routing.top_groups, routing.groups));
  spec.moe.correction_bias = !gguf() || spec.moe.correction_bias;
}

void Config::QwenMoe(nn::DecoderSpec& spec) {
  const int step = fields.Optional<int>("decoder_sparse_step", 1, {1, 4096});
  const auto dense = fields.Optional<std::vector<int>>("mlp_only_layers", {});
  Moe(spec, "moe_intermediate_size", [&](int layer) {
    return (layer + 1) % step == 0 && std::ranges::find(dense, layer) == dense.end();
  });
  spec.moe.routing.normalize = fields.Optional<bool>("norm_topk_prob", false);
}

void Config::DropNextnLayers(Definition& definition) {
  const int count = fields.Optional<int>("num_nextn_predict_layers", 0, {0, 64});
  const auto layers = static_cast<int>(definition.spec.layers.size());
  for (int i = layers; i < layers + count; ++i) {
    definition.tensors.ignored.push_back(fmt::format("model.layers.{}.*", i));
    definition.tensors.ignored_gguf.push_back(fmt::format("blk.{}.*", i));
  }
  for (std::string_view name : {"mtp.*", "model.mtp_*"})
    definition.tensors.ignored.emplace_back(name);
}

void AddMoe(weights::TensorTable& table, const nn::DecoderSpec& spec, const MoeNames& names) {
  const auto within = [&](std::string_view name) {
    return fmt::format("{}.{}", names.block, name);
  };
  // Behind the names of the model's own files those that transformers 5 has in memory, and saves on
  // demand.
  const std::string_view renamed =
      names.block.ends_with("block_sparse_moe") ? "model.layers.{l}.mlp" : names.block;
  const auto also = [&](std::string_view name) {
    return fmt::format("{}|{}.{}", within(name), renamed, name);
  };
  Rename(table, "layers.{l}.mlp.router",
         fmt::format("{}|{}|{}", within(names.router), also("router"), also("gate")),
         "blk.{l}.ffn_gate_inp");
  table.rows.push_back({"layers.{l}.mlp.correction.bias",
                        fmt::format("{}|{}", also(names.correction),
                                    within(fmt::format("gate.{}", names.correction))),
                        "blk.{l}.exp_probs_b.bias|blk.{l}.exp_probs_b"});
  const std::pair<std::string_view, std::string_view> parts[] = {
      {"gate", names.gate}, {"up", names.up}, {"down", names.down}};
  for (const auto& [part, name] : parts) {
    Rename(table, fmt::format("layers.{{l}}.mlp.experts.{{e}}.{}", part),
           within(fmt::format("experts.{{e}}.{}", name)),
           fmt::format("blk.{{l}}.ffn_{0}_exps|blk.{{l}}.ffn_{0}.{{e}}", part));
    Rename(table, fmt::format("layers.{{l}}.mlp.shared.{}", part),
           within(fmt::format("{}.{}", names.shared, name)),
           fmt::format("blk.{{l}}.ffn_{}_shexp", part));
  }
  Rename(table, "layers.{l}.mlp.shared_gate", within(names.shared_gate),
         "blk.{l}.ffn_gate_inp_shexp");
  // transformers 5's own form: [experts, gate and up, hidden], [experts, hidden, intermediate].
  const int64_t rows = spec.moe.intermediate;
  for (int part : {0, 1}) {
    const weights::Transform half = {.parts = {rows, rows}, .part = part};
    table.rows.push_back(
        {fmt::format("layers.{{l}}.mlp.experts.{{e}}.{}.weight", parts[part].first),
         also("experts.gate_up_proj"), "blk.{l}.ffn_gate_up_exps.weight", half, half});
  }
  for (std::string_view part : {"up", "down"})
    table.rows.push_back({fmt::format("layers.{{l}}.mlp.experts.{{e}}.{}.weight", part),
                          also(fmt::format("experts.{}_proj", part)), ""});
}

void AddExpertsByColumns(weights::TensorTable& table, std::string_view block,
                         const std::vector<int64_t>& parts, int64_t groups) {
  // Before AddMoe's rows, which read the same names the other way round.
  std::vector<weights::TensorRow> rows;
  const auto add = [&](std::string_view part, std::string_view name, weights::Transform transform) {
    const std::string logical = fmt::format("layers.{{l}}.mlp.experts.{{e}}.{}", part);
    rows.push_back({logical + ".bias", fmt::format("{}.{}_bias", block, name), "", transform});
    transform.transpose = true;
    rows.push_back({logical + ".weight", fmt::format("{}.{}", block, name), "", transform});
  };
  add("gate", "gate_up_proj", {.parts = parts, .part = 0, .groups = groups});
  add("up", "gate_up_proj", {.parts = parts, .part = 1, .groups = groups});
  add("down", "down_proj", {});
  table.rows.insert(table.rows.begin(), rows.begin(), rows.end());
}

void AddGraniteMoe(weights::TensorTable& table, const nn::DecoderSpec& spec) {
  AddMoe(table, spec, {.block = "model.layers.{l}.block_sparse_moe", .router = "router.layer"});
  const auto add = [&](std::string_view logical, std::string_view block, int64_t size) {
    const std::pair<std::string_view, int> halves[] = {{"gate", 0}, {"up", 1}};
    for (const auto& [name, part] : halves)
      table.rows.push_back({fmt::format("{}.{}.weight", logical, name),
                            fmt::format("{}.input_linear.weight", block),
                            "",
                            {.parts = {size, size}, .part = part}});
    table.rows.push_back({fmt::format("{}.down.weight", logical),
                          fmt::format("{}.output_linear.weight", block), ""});
  };
  add("layers.{l}.mlp.experts.{e}", "model.layers.{l}.block_sparse_moe", spec.moe.intermediate);
  add("layers.{l}.mlp.shared", "model.layers.{l}.shared_mlp", spec.moe.shared_intermediate);
}

}  // namespace banyan::models
