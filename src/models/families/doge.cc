// SPDX-License-Identifier: Apache-2.0
// Doge (SmallDoge 2024): a dynamic mask in attention, a weighted stream, and in some of its models
// retrieved experts beside the MLP.
//
// transformers views the router's logits of n rows, [n, 2 * keys], as [2, n, keys]. Of one row
// these are its two halves; of several, a row is routed by the logits of others, even of some
// behind it. Here each row is routed by its own, as transformers does while it decodes.
#include <cmath>

#include "base/log.h"
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineDogeMoe(Config& config, Definition& definition) {
  constexpr Range kCount{1, 1 << 24};
  nn::DecoderSpec& spec = definition.spec;
  nn::RetrievalSpec& retrieval = spec.retrieval;
  retrieval.experts = config.fields.Optional<int>("num_experts", 16384, kCount);
  retrieval.top_k = config.fields.Optional<int>("num_experts_per_tok", 64, kCount);
  retrieval.keys = static_cast<int>(std::sqrt(static_cast<double>(retrieval.experts)));
  if (retrieval.top_k > retrieval.keys * retrieval.keys)
    config.fields.Fail("num_experts_per_tok",
                       fmt::format("{} is more than the {} experts that keys reach",
                                   retrieval.top_k, retrieval.keys * retrieval.keys));
  LogWarning(
      "doge: every token finds its experts by itself; transformers mixes up those of a prompt");
  for (nn::LayerSpec& layer : spec.layers) layer.feed_forward = nn::FeedForward::kRetrieval;
  weights::TensorTable& tensors = definition.tensors;
  Rename(tensors, "layers.{l}.mlp.router", "model.layers.{l}.mlp.router_gate");
  Rename(tensors, "layers.{l}.mlp.units_down", "model.layers.{l}.mlp.down_embed");
  Rename(tensors, "layers.{l}.mlp.units_up", "model.layers.{l}.mlp.up_embed");
}

void DefineDoge(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  Fields& fields = config.fields;
  spec = config.Dims();
  spec.mlp.intermediate = fields.Required<int>("intermediate_size", {1, 1 << 24});
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec);
  spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kHead;
  spec.attention.qk_norm_spec = spec.norm;
  spec.attention.dynamic_mask = fields.Optional<int>("keep_window_size", 2048, {1, 1 << 30});
  spec.residual_weights = true;
  config.Rope(spec, 2048);
  const int window = config.Window("sliding_window", 0);
  if (window > spec.attention.dynamic_mask)
    config.Fail(Unimplemented("{}: 'sliding_window': {} is over 'keep_window_size' {}",
                              fields.where(), window, spec.attention.dynamic_mask));
  for (nn::LayerSpec& layer : spec.layers) layer.window = window;
  config.Tied(spec, false);

  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  Rename(tensors, "layers.{l}.attention.mask_dt", "model.layers.{l}.self_attn.dt_proj");
  const std::pair<std::string_view, std::string_view> vectors[] = {
      {"attention.mask_rate", "self_attn.A"},
      {"attention_residual", "input_residual"},
      {"mlp_residual", "post_attention_residual"}};
  for (const auto& [logical, name] : vectors)
    tensors.rows.push_back(
        {fmt::format("layers.{{l}}.{}", logical), fmt::format("model.layers.{{l}}.{}", name), ""});
  if (fields.Optional<bool>("is_moe", false)) DefineDogeMoe(config, definition);
  // (Weights of a softmax have the sum 1 already.)
  fields.Ignore({"num_experts", "num_experts_per_tok", "norm_topk_prob"});
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterDoge(models::Registry& registry) {
  registry.Add({"doge", {"DogeForCausalLM"}, models::DefineDoge});
}
}  // namespace banyan
