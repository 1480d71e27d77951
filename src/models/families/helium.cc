// SPDX-License-Identifier: Apache-2.0
// Helium (Kyutai): Llama with rotation by neighbouring pairs.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineHelium(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(20, 128);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-8);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec, /*output=*/false);
  nn::RopeDefaults rope;
  rope.theta = 100000.0;
  rope.pairing = ops::RopePairing::kInterleaved;
  config.Rope(spec, 4096, std::move(rope));
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterHelium(models::Registry& registry) {
  registry.Add({"helium", {"HeliumForCausalLM"}, models::DefineHelium});
}
}  // namespace banyan
