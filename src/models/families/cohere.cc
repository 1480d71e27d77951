// SPDX-License-Identifier: Apache-2.0
// Command R: attention and MLP in parallel behind one norm.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineCohere(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims();
  spec.norm = config.LayerNorm("layer_norm_eps", 1e-5, /*bias=*/false);
  spec.residual = nn::Residual::kParallel;
  spec.mlp_norm = false;
  spec.logit_scale = config.fields.Optional<float>("logit_scale", 0.0625f);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec);
  if (config.fields.Optional<bool>("use_qk_norm", false)) {
    spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kPerHead;
    spec.attention.qk_norm_spec = spec.norm;
  }
  nn::RopeDefaults rope;
  rope.theta = 500000.0;
  rope.pairing = ops::RopePairing::kInterleaved;
  config.Rope(spec, 8192, std::move(rope));
  config.Tied(spec, true);
  definition.tensors = LlamaTensors();
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterCohere(models::Registry& registry) {
  registry.Add({"cohere", {"CohereForCausalLM"}, models::DefineCohere});
}
}  // namespace banyan
