// SPDX-License-Identifier: Apache-2.0
// Gemma: embeddings scaled by sqrt(hidden), norms stored as their distance from one.
#include <cmath>

#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineGemma(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(16, 256);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  // hidden_activation puts right the hidden_act of early files; transformers 5 overlooks it.
  spec.mlp.activation = config.Activation({"hidden_activation", "hidden_act"}, "gelu_pytorch_tanh");
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden_size));
  spec.round_embedding_scale = true;
  config.Biases(spec);
  config.Only("use_bidirectional_attention", false);
  config.Rope(spec, 8192);
  config.Tied(spec, true);
  definition.tensors = LlamaTensors();
  AddOneToNorms(definition.tensors);
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterGemma(models::Registry& registry) {
  registry.Add({"gemma", {"GemmaForCausalLM"}, models::DefineGemma});
}
}  // namespace banyan
