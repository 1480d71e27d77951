// SPDX-License-Identifier: Apache-2.0
// Gemma 3's text models: windows with a rope of their own on five of six layers, norms on the heads
// of q and k.
#include <cmath>

#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineGemma3Text(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(4, 256);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.mlp.activation = config.Activation({"hidden_activation"}, "gelu_pytorch_tanh");
  config.fields.Ignore({"hidden_act"});  // as transformers, which looks at the other
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden_size));
  spec.round_embedding_scale = true;
  const Range positive{1e-3, 1e6};
  spec.attention.scale =
      1.0f / std::sqrt(config.fields.Optional<float>("query_pre_attn_scalar", 256.0f, positive));
  // Its attention has no cap, whatever the key says (as in transformers and SGLang).
  config.fields.Ignore({"attn_logit_softcapping"});
  spec.logit_softcap = config.Softcap("final_logit_softcapping", 0.0f);
  spec.attention_post_norm = spec.mlp_post_norm = true;
  spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kHead;
  spec.attention.qk_norm_spec = spec.norm;
  config.Biases(spec);
  config.Only("use_bidirectional_attention", false);
  const int pattern = config.SlidingPattern(6);
  config.Windows(spec, config.Window("sliding_window", 4096),
                 [&](int layer) { return (layer + 1) % pattern != 0; });
  nn::RopeDefaults full, local;
  full.theta = 1e6;
  local.theta_key = "rope_local_base_freq";
  local.nested_only = true;
  config.AddRope(spec, 131072, std::move(full), "full_attention");
  config.AddRope(spec, 131072, std::move(local), "sliding_attention");
  for (nn::LayerSpec& layer : spec.layers) layer.rope = layer.window > 0 ? 1 : 0;
  config.Tied(spec, true);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  Rename(tensors, "layers.{l}.attention_post_norm", "model.layers.{l}.post_attention_layernorm");
  Rename(tensors, "layers.{l}.mlp_norm", "model.layers.{l}.pre_feedforward_layernorm");
  Rename(tensors, "layers.{l}.mlp_post_norm", "model.layers.{l}.post_feedforward_layernorm");
  AddOneToNorms(tensors);
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterGemma3Text(models::Registry& registry) {
  registry.Add({"gemma3_text", {"Gemma3ForCausalLM"}, models::DefineGemma3Text});
}
}  // namespace banyan
