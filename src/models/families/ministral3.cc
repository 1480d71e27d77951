// SPDX-License-Identifier: Apache-2.0
// Ministral 3: Llama with yarn and Llama 4's temperature on the queries.
#include "models/model_def.h"
#include "weights/gguf.h"

namespace banyan::models {
namespace {

void DefineMinistral3(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(8, 128);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  nn::RopeDefaults rope;
  rope.parameters = {{"rope_type", "yarn"},
                     {"rope_theta", 1e6},
                     {"factor", 16.0},
                     {"original_max_position_embeddings", 16384},
                     {"mscale", 1.0},
                     {"mscale_all_dim", 1.0},
                     {"llama_4_scaling_beta", 0.1}};
  config.Rope(spec, 262144, std::move(rope));
  if (config.gguf() && !spec.ropes.empty()) {
    auto beta = config.metadata()->Float("mistral3.attention.temperature_scale");
    if (!beta.ok()) return config.Fail(beta.status());
    spec.ropes[0].query_scale_beta = beta->value_or(0.0);
  }
  for (nn::LayerSpec& layer : spec.layers) layer.window = config.Window("sliding_window", 0);
  config.Tied(spec, false);
  definition.tensors = LlamaTensors();
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterMinistral3(models::Registry& registry) {
  registry.Add({"ministral3", {"Ministral3ForCausalLM"}, models::DefineMinistral3});
}
}  // namespace banyan
