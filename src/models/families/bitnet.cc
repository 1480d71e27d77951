// SPDX-License-Identifier: Apache-2.0
// BitNet b1.58 (Microsoft 2025): norms before attention's and the MLP's last matrices, squared
// ReLU. Its ternary matrices: weights/ternary.h. Of GGUF files those load whose matrices have their
// scales in them, in plain or K types; tensors of scales and ternary types are refused by name.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineBitnet(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(5);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.mlp.activation = config.Activation({"hidden_act"}, "relu2");
  spec.mlp.norm = spec.attention.output_norm = spec.norm;
  spec.attention.qkv_bias = spec.attention.output_bias =
      config.fields.Optional<bool>("attention_bias", false);
  nn::RopeDefaults rope;
  rope.theta = 500000.0;
  config.Rope(spec, 2048, std::move(rope));
  config.Tied(spec, false);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  Rename(tensors, "layers.{l}.attention.output_norm", "model.layers.{l}.self_attn.attn_sub_norm",
         "blk.{l}.attn_sub_norm");
  Rename(tensors, "layers.{l}.mlp.norm", "model.layers.{l}.mlp.ffn_sub_norm",
         "blk.{l}.ffn_sub_norm");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterBitnet(models::Registry& registry) {
  registry.Add({"bitnet", {"BitNetForCausalLM"}, models::DefineBitnet});
}
}  // namespace banyan
