// SPDX-License-Identifier: Apache-2.0
// VaultGemma: Gemma 2 without the norms after the blocks.
#include <cmath>

#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineVaultgemma(Config& config, Definition& definition) {
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
  spec.attention.softcap = config.Softcap("attn_logit_softcapping", 50.0f);
  spec.logit_softcap = config.Softcap("final_logit_softcapping", 30.0f);
  config.Biases(spec);
  config.Rope(spec, 8192);
  config.Windows(spec, config.Window("sliding_window", 4096),
                 [](int layer) { return layer % 2 == 0; });
  config.Tied(spec, true);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  Rename(tensors, "layers.{l}.mlp_norm", "model.layers.{l}.pre_feedforward_layernorm");
  AddOneToNorms(tensors);
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterVaultgemma(models::Registry& registry) {
  registry.Add({"vaultgemma", {"VaultGemmaForCausalLM"}, models::DefineVaultgemma});
}
}  // namespace banyan
