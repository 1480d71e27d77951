// SPDX-License-Identifier: Apache-2.0
// Apertus (Swiss AI 2025): xIELU in a plain MLP, norms on the heads of q and k.
#include "models/model_def.h"

namespace banyan::models {
namespace {

// GGUF has xIELU's scalars beside the tensors: a number, or one per layer.
void ReadXielu(Config& config, const json::object& xielu, nn::DecoderSpec& spec) {
  Fields fields(xielu, fmt::format("{}: xielu", config.fields.where()));
  spec.xielu.resize(spec.layers.size());
  int index = 0;
  for (std::string_view name : {"alpha_p", "alpha_n", "beta", "eps"}) {
    const auto values = fields.Required<std::vector<float>>(name);
    if (fields.status().ok() && values.size() != 1 && values.size() != spec.layers.size())
      fields.Fail(name,
                  fmt::format("has {} numbers for {} layers", values.size(), spec.layers.size()));
    if (!fields.status().ok()) return config.Fail(fields.status());
    for (std::size_t i = 0; i < spec.layers.size(); ++i)
      spec.xielu[i][index] = values[values.size() == 1 ? 0 : i];
    ++index;
  }
}

void DefineApertus(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims();
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kHead;
  spec.attention.qk_norm_spec = spec.norm;
  spec.mlp.gated = false;
  spec.mlp.activation = config.Activation({"hidden_act"}, "xielu");
  config.Biases(spec);
  config.Only("qk_norm", true);
  config.Only("post_norm", false);
  nn::RopeDefaults rope;
  rope.theta = 12e6;
  rope.parameters = {{"rope_type", "llama3"},  {"rope_theta", 12e6},
                     {"factor", 8.0},          {"original_max_position_embeddings", 8192},
                     {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}};
  config.Rope(spec, 65536, std::move(rope));
  config.Tied(spec, false);

  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  Rename(tensors, "layers.{l}.attention_norm", "model.layers.{l}.attention_layernorm");
  Rename(tensors, "layers.{l}.mlp_norm", "model.layers.{l}.feedforward_layernorm");
  for (std::string_view name : {"alpha_p", "alpha_n", "beta", "eps"})
    tensors.rows.push_back({fmt::format("layers.{{l}}.mlp.{}", name),
                            fmt::format("model.layers.{{l}}.mlp.act_fn.{}", name),
                            "",
                            {},
                            {}});
  const auto xielu = config.fields.Maybe<json::object>("xielu");
  if (xielu) ReadXielu(config, *xielu, spec);
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterApertus(models::Registry& registry) {
  registry.Add({"apertus", {"ApertusForCausalLM"}, models::DefineApertus});
}
}  // namespace banyan
