// SPDX-License-Identifier: Apache-2.0
// Mixtral: Mistral with experts.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineMixtral(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(8);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  nn::RopeDefaults rope;
  rope.theta = 1000000.0;
  config.Rope(spec, 131072, std::move(rope));
  for (nn::LayerSpec& layer : spec.layers) layer.window = config.Window("sliding_window", 0);
  config.Moe(spec, "intermediate_size");
  spec.moe.routing.normalize = true;
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
  AddMoe(definition.tensors, spec,
         {.block = "model.layers.{l}.block_sparse_moe", .gate = "w1", .up = "w3", .down = "w2"});
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterMixtral(models::Registry& registry) {
  registry.Add({"mixtral", {"MixtralForCausalLM"}, models::DefineMixtral});
}
}  // namespace banyan
