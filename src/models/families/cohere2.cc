// SPDX-License-Identifier: Apache-2.0
// Command R7B: windows with rotary positions, and full attention without.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineCohere2(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims();
  spec.norm = config.LayerNorm("layer_norm_eps", 1e-5, /*bias=*/false);
  spec.residual = nn::Residual::kParallel;
  spec.mlp_norm = false;
  spec.logit_scale = config.fields.Optional<float>("logit_scale", 0.0625f);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec);
  nn::RopeDefaults rope;
  rope.pairing = ops::RopePairing::kInterleaved;
  config.Rope(spec, 8192, std::move(rope));
  const int pattern = config.SlidingPattern(4);
  config.Windows(spec, config.Window("sliding_window", 4096),
                 [&](int layer) { return (layer + 1) % pattern != 0; });
  for (nn::LayerSpec& layer : spec.layers) layer.rope = layer.window > 0 ? 0 : -1;
  config.Tied(spec, true);
  definition.tensors = LlamaTensors();
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterCohere2(models::Registry& registry) {
  registry.Add({"cohere2", {"Cohere2ForCausalLM"}, models::DefineCohere2});
}
}  // namespace banyan
