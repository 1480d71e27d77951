// SPDX-License-Identifier: Apache-2.0
// Granite 3, mixtures: gate and up of all experts in one tensor; with or without a shared expert.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineGranitemoe(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims();
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec);
  config.GraniteScales(spec);
  config.Rope(spec, 2048);
  config.Moe(spec, "intermediate_size");
  spec.moe.routing.normalize = true;
  const int shared = config.fields.Optional<int>("shared_intermediate_size", 0, {0, 1 << 24});
  if (!config.gguf()) spec.moe.shared_intermediate = shared;
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
  AddGraniteMoe(definition.tensors, spec);
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterGranitemoe(models::Registry& registry) {
  registry.Add({"granitemoe",
                {"GraniteMoeForCausalLM", "GraniteMoeSharedForCausalLM"},
                models::DefineGranitemoe});
}
}  // namespace banyan
