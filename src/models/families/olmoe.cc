// SPDX-License-Identifier: Apache-2.0
// OLMoE: norms over all heads of q and of k.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineOlmoe(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims();
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kWhole;
  spec.attention.qk_norm_spec = spec.norm;
  spec.attention.clip_qkv = config.Softcap("clip_qkv", 0.0f);
  config.Biases(spec);
  config.Rope(spec, 4096);
  config.Moe(spec, "intermediate_size");
  spec.moe.routing.normalize = config.fields.Optional<bool>("norm_topk_prob", false);
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
  AddMoe(definition.tensors, spec);
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterOlmoe(models::Registry& registry) {
  registry.Add({"olmoe", {"OlmoeForCausalLM"}, models::DefineOlmoe});
}
}  // namespace banyan
