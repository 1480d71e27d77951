// SPDX-License-Identifier: Apache-2.0
// EXAONE 4: norms after the blocks and on the heads of q and k; where some layers have windows, the
// others have no positions.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineExaone4(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(32);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.attention_norm = spec.mlp_norm = false;
  spec.attention_post_norm = spec.mlp_post_norm = true;
  spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kHead;
  spec.attention.qk_norm_spec = spec.norm;
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Rope(spec, 2048);
  const int window = config.Window("sliding_window", 4096);
  const int pattern = window > 0 ? config.SlidingPattern(4) : 1;
  config.Windows(spec, window, [&](int layer) { return (layer + 1) % pattern != 0; });
  if (window > 0)
    for (nn::LayerSpec& layer : spec.layers) layer.rope = layer.window > 0 ? 0 : -1;
  config.Tied(spec, false);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  Rename(tensors, "layers.{l}.attention_post_norm", "model.layers.{l}.post_attention_layernorm");
  Rename(tensors, "layers.{l}.mlp_post_norm", "model.layers.{l}.post_feedforward_layernorm");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterExaone4(models::Registry& registry) {
  registry.Add({"exaone4", {"Exaone4ForCausalLM"}, models::DefineExaone4});
}
}  // namespace banyan
