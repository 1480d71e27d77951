// SPDX-License-Identifier: Apache-2.0
// Arcee's AFM: Llama with a plain MLP of squared ReLU.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineArcee(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims();
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.mlp.gated = false;
  spec.mlp.activation = config.Activation({"hidden_act"}, "relu2");
  config.Biases(spec);
  config.Rope(spec, 4096);
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterArcee(models::Registry& registry) {
  registry.Add({"arcee", {"ArceeForCausalLM"}, models::DefineArcee});
}
}  // namespace banyan
