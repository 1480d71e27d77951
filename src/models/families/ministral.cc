// SPDX-License-Identifier: Apache-2.0
// Ministral 8B: Mistral with windows on some layers.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineMinistral(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(8);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Rope(spec, 4096 * 32);
  const int window = config.Window("sliding_window", 4096);
  config.Windows(spec, window, [&](int) { return window > 0; });
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterMinistral(models::Registry& registry) {
  registry.Add({"ministral", {"MinistralForCausalLM"}, models::DefineMinistral});
}
}  // namespace banyan
