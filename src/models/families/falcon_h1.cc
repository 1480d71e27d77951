// SPDX-License-Identifier: Apache-2.0
// Falcon H1: attention and Mamba 2 side by side in every layer, with a multiplier at each joint.
// Conversion to GGUF multiplies them into the weights.
#include "models/recurrent.h"

namespace banyan::models {
namespace {

void DefineFalconH1(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  Fields& fields = config.fields;
  spec = config.Dims(8);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec);
  config.Rope(spec, 8192);
  for (nn::LayerSpec& layer : spec.layers) layer.mixer = nn::Mixer::kAttentionAndMamba2;

  nn::Mamba2Spec& mamba = spec.mamba2;
  const int expanded = fields.Optional<int>("mamba_expand", 2, kExpansions) * spec.hidden_size;
  const bool absent = !fields.object().contains("mamba_d_ssm");  // null: as wide as expanded
  Mamba2Keys(config, spec,
             fields.Optional<int>("mamba_d_ssm", absent ? 1024 : expanded, {1, 1 << 24}));
  mamba.output_bias = fields.Optional<bool>("projectors_bias", false);
  mamba.norm_groups = mamba.groups;
  const bool before = config.Flag("mamba_norm_before_gate", true);
  mamba.norm = before ? nn::Mamba2Spec::Norm::kBeforeGate : nn::Mamba2Spec::Norm::kAfterGate;
  // llama.cpp's files hold the norm where there is one.
  const bool norm = config.gguf() ? config.HasTensor("blk.0.ssm_norm.weight")
                                  : fields.Optional<bool>("mamba_rms_norm", false);
  if (config.gguf() && norm) mamba.norm = nn::Mamba2Spec::Norm::kAfterGate;
  if (!norm) mamba.norm = nn::Mamba2Spec::Norm::kNone;

  const auto factor = [&](std::string_view key) { return fields.Optional<float>(key, 1.0f); };
  const auto factors = [&](std::string_view key, std::size_t count) {
    auto values = fields.Optional<std::vector<float>>(key, std::vector<float>(count, 1.0f));
    if (values.size() != count) fields.Fail(key, fmt::format("is not {} numbers", count));
    values.resize(count);
    return values;
  };
  spec.embedding_scale = factor("embedding_multiplier");
  spec.logit_scale = factor("lm_head_multiplier");
  spec.attention.scale *= factor("key_multiplier");
  spec.pair = {factor("attention_in_multiplier"), factor("attention_out_multiplier"),
               factor("ssm_out_multiplier")};
  mamba.input_scale = factor("ssm_in_multiplier");
  std::ranges::copy(factors("ssm_multipliers", 5), mamba.scales.begin());
  const std::vector<float> mlp = factors("mlp_multipliers", 2);
  spec.mlp.gate_scale = mlp[0], spec.mlp.down_scale = mlp[1];
  fields.Ignore({"layers_block_type", "layer_types", "mamba_use_mlp"});
  config.Tied(spec, false);

  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  Rename(tensors, "final_norm", "model.final_layernorm");
  Rename(tensors, "layers.{l}.mlp_norm", "model.layers.{l}.pre_ff_layernorm");
  // llama.cpp's name has no ".weight".
  Row(tensors, "layers.{l}.mlp_norm.weight").gguf = "blk.{l}.ffn_norm|blk.{l}.ffn_norm.weight";
  for (std::string_view part : {"gate", "up", "down"})
    Rename(tensors, fmt::format("layers.{{l}}.mlp.{}", part),
           fmt::format("model.layers.{{l}}.feed_forward.{}_proj", part));
  AddMamba2(tensors, "model.layers.{l}.mamba");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterFalconH1(models::Registry& registry) {
  registry.Add({"falcon_h1", {"FalconH1ForCausalLM"}, models::DefineFalconH1});
}
}  // namespace banyan
