// SPDX-License-Identifier: Apache-2.0
// DiffLlama: Llama with differential attention.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineDiffLlama(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims();
  if (spec.attention.kv_heads % 2 != 0)
    config.fields.Fail("num_key_value_heads",
                       fmt::format("{} is odd: attention takes the heads of keys in two halves",
                                   spec.attention.kv_heads));
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  spec.attention.qkv_bias = spec.attention.output_bias =
      config.fields.Optional<bool>("attention_bias", false);
  spec.attention.differential_eps = spec.norm.eps;
  config.fields.Ignore({"lambda_std_dev"});  // of the first values in training
  config.Rope(spec, 2048);
  config.Tied(spec, false);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  for (std::string_view name : {"lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2"})
    tensors.rows.push_back({fmt::format("layers.{{l}}.attention.{}", name),
                            fmt::format("model.layers.{{l}}.self_attn.{}", name), ""});
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterDiffllama(models::Registry& registry) {
  registry.Add({"diffllama", {"DiffLlamaForCausalLM"}, models::DefineDiffLlama});
}
}  // namespace banyan
