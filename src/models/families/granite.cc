// SPDX-License-Identifier: Apache-2.0
// Granite 3: Llama with four multipliers (maximal update parametrization).
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineGranite(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims();
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec);
  config.GraniteScales(spec);
  config.Rope(spec, 2048);
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterGranite(models::Registry& registry) {
  registry.Add({"granite", {"GraniteForCausalLM"}, models::DefineGranite});
}
}  // namespace banyan
