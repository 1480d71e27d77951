// SPDX-License-Identifier: Apache-2.0
// GLM-4 as of 2024: half of each head rotated by neighbouring pairs, gate and up in one matrix.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineGlm(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(2, 128);
  spec.norm = config.RmsNorm("rms_norm_eps", 1.5625e-07);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec, /*output=*/false, /*attention_default=*/true);
  nn::RopeDefaults rope;
  rope.partial_rotary_factor = 0.5;
  rope.pairing = ops::RopePairing::kInterleaved;
  config.Rope(spec, 131072, std::move(rope));
  config.Tied(spec, false);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  FuseGateUp(tensors, spec, "model.layers.{l}.mlp.gate_up_proj", "");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterGlm(models::Registry& registry) {
  registry.Add({"glm", {"GlmForCausalLM"}, models::DefineGlm});
}
}  // namespace banyan
