// SPDX-License-Identifier: Apache-2.0
// Ernie 4.5, mixtures: softmax routing with a correction for choosing.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineErnie45Moe(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(4);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  const bool bias = config.fields.Optional<bool>("use_bias", false);
  spec.attention.qkv_bias = spec.attention.output_bias = bias;
  spec.mlp.up_bias = spec.mlp.down_bias = bias;
  spec.output_bias = config.gguf() ? config.HasTensor("output.bias") : bias;
  nn::RopeDefaults rope;
  rope.theta = 500000.0;
  rope.pairing = ops::RopePairing::kInterleaved;
  config.Rope(spec, 131072, std::move(rope));
  const int first = config.fields.Optional<int>("moe_layer_start_index", 1, {0, 4096});
  const int end = config.fields.Optional<int>("moe_layer_end_index", -1, {-1, 4096});
  const int interval = config.fields.Optional<int>("moe_layer_interval", 1, {1, 4096});
  config.Moe(spec, "moe_intermediate_size", [&](int layer) {
    return (layer + 1) % interval == 0 && layer >= first && (end < 0 || layer <= end);
  });
  config.SharedExperts(spec, "moe_num_shared_experts", 2);
  spec.moe.routing.normalize = true;
  spec.moe.routing.least_sum = config.fields.Optional<float>("moe_norm_min", 1e-12f, {1e-30, 1});
  if (!config.gguf()) {
    spec.moe.correction_bias = true;
    spec.moe.shared_bias = bias;
  }
  config.Tied(spec, true);
  definition.tensors = LlamaTensors();
  config.DropNextnLayers(definition);
  AddMoe(definition.tensors, spec, {.correction = "moe_statics.e_score_correction_bias"});
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterErnie45Moe(models::Registry& registry) {
  registry.Add({"ernie4_5_moe", {"Ernie4_5_MoeForCausalLM"}, models::DefineErnie45Moe});
}
}  // namespace banyan
