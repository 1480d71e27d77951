// SPDX-License-Identifier: Apache-2.0
// Solar Open: GLM 4.5 with all of each head rotated and experts in every layer.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineSolarOpen(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(8, 128);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec, /*output=*/false);
  nn::RopeDefaults rope;
  rope.theta = 1000000.0;
  rope.partial = true;
  config.Rope(spec, 131072, std::move(rope));
  config.Moe(spec, "moe_intermediate_size");
  config.GroupedRouting(spec, true);
  config.SharedExperts(spec, "n_shared_experts", 1);
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
  AddMoe(definition.tensors, spec);
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterSolarOpen(models::Registry& registry) {
  registry.Add({"solar_open", {"SolarOpenForCausalLM"}, models::DefineSolarOpen});
}
}  // namespace banyan
