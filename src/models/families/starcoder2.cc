// SPDX-License-Identifier: Apache-2.0
// StarCoder 2: layer norms, biases everywhere, a plain MLP.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineStarcoder2(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(2);
  spec.norm = config.LayerNorm("norm_epsilon", 1e-5);
  const bool bias = config.fields.Optional<bool>("use_bias", true);
  spec.attention.qkv_bias = spec.attention.output_bias = bias;
  spec.mlp = {spec.mlp.intermediate, false, config.Activation({"hidden_act"}, "gelu_pytorch_tanh"),
              bias, bias};
  config.Rope(spec, 4096);
  for (nn::LayerSpec& layer : spec.layers) layer.window = config.Window("sliding_window", 0);
  config.Tied(spec, true);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  Rename(tensors, "layers.{l}.mlp.up", "model.layers.{l}.mlp.c_fc");
  Rename(tensors, "layers.{l}.mlp.down", "model.layers.{l}.mlp.c_proj");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterStarcoder2(models::Registry& registry) {
  registry.Add({"starcoder2", {"Starcoder2ForCausalLM"}, models::DefineStarcoder2});
}
}  // namespace banyan
