// SPDX-License-Identifier: Apache-2.0
// Apertus (Swiss AI 2025): xIELU in a plain MLP, norms on the heads of q and k.
#include "models/model_def.h"
#include "weights/gguf.h"

namespace banyan::models {
namespace {

// GGUF has xIELU's scalars as metadata, already mapped.
void ReadXielu(Config& config, nn::DecoderSpec& spec) {
  spec.xielu.resize(spec.layers.size());
  int index = 0;
  for (std::string_view name : {"alpha_p", "alpha_n", "beta", "eps"}) {
    auto values = config.metadata()->Floats(fmt::format("xielu.{}", name));
    if (!values.ok()) return config.Fail(values.status());
    if (!*values || ((*values)->size() != 1 && (*values)->size() != spec.layers.size()))
      return config.Fail(InvalidArgument("xielu.{}: needs one number for each of {} layers", name,
                                         spec.layers.size()));
    for (std::size_t i = 0; i < spec.layers.size(); ++i)
      spec.xielu[i][index] = static_cast<float>((**values)[(*values)->size() == 1 ? 0 : i]);
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
  if (config.gguf()) ReadXielu(config, spec);
  config.fields.Ignore({"xielu"});
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterApertus(models::Registry& registry) {
  registry.Add({"apertus", {"ApertusForCausalLM"}, models::DefineApertus});
}
}  // namespace banyan
