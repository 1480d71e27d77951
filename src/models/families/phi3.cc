// SPDX-License-Identifier: Apache-2.0
// Phi 3, 3.5 and 4: Llama with q, k, v and gate, up fused, and longrope.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefinePhi3(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims();
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  nn::RopeDefaults rope;
  rope.longrope_only = rope.recompute = rope.partial = true;
  if (!config.gguf()) rope.trained_length = 4096;
  config.Rope(spec, 4096, std::move(rope));
  for (nn::LayerSpec& layer : spec.layers) layer.window = config.Window("sliding_window", 0);
  config.Tied(spec, false);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  FuseQkv(tensors, spec, "model.layers.{l}.self_attn.qkv_proj", "");
  FuseGateUp(tensors, spec, "model.layers.{l}.mlp.gate_up_proj", "");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterPhi3(models::Registry& registry) {
  registry.Add({"phi3", {"Phi3ForCausalLM"}, models::DefinePhi3});
}
}  // namespace banyan
