// SPDX-License-Identifier: Apache-2.0
// ERNIE 4.5, dense.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineErnie45(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(2, 128);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  const bool bias = config.fields.Optional<bool>("use_bias", false);
  spec.attention.qkv_bias = spec.attention.output_bias = bias;
  spec.mlp.up_bias = spec.mlp.down_bias = bias;
  nn::RopeDefaults rope;
  rope.theta = 500000.0;
  rope.pairing = ops::RopePairing::kInterleaved;
  config.Rope(spec, 131072, std::move(rope));
  config.Tied(spec, true);
  definition.tensors = LlamaTensors();
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterErnie45(models::Registry& registry) {
  registry.Add(
      {"ernie4_5", {"Ernie4_5ForCausalLM", "Ernie4_5_ForCausalLM"}, models::DefineErnie45});
}
}  // namespace banyan
