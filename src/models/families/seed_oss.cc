// SPDX-License-Identifier: Apache-2.0
// Seed-OSS: Llama with biases on q, k and v.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineSeedOss(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(8, 128);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec, /*output=*/false, /*attention_default=*/true);
  spec.attention.output_bias = config.fields.Optional<bool>("attention_out_bias", false);
  config.Rope(spec, 524288);
  config.Tied(spec, false);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  Rename(tensors, "layers.{l}.mlp_norm", "model.layers.{l}.post_attention_layernorm",
         "blk.{l}.post_attention_norm");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterSeedOss(models::Registry& registry) {
  registry.Add({"seed_oss", {"SeedOssForCausalLM"}, models::DefineSeedOss});
}
}  // namespace banyan
