// SPDX-License-Identifier: Apache-2.0
// SmolLM 3: Llama with every fourth layer without positions.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineSmollm3(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(4);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-6);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec);
  nn::RopeDefaults rope;
  rope.theta = 2e6;
  config.Rope(spec, 32768, std::move(rope));
  Fields& fields = config.fields;
  const int interval = fields.Optional<int>("no_rope_layer_interval", 4, {1, 4096});
  const auto has_rope = fields.Maybe<std::vector<int>>("no_rope_layers");
  if (has_rope && has_rope->size() != spec.layers.size())
    return fields.Fail("no_rope_layers", fmt::format("has {} items for {} layers", has_rope->size(),
                                                     spec.layers.size()));
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    const bool rotates = has_rope ? (*has_rope)[i] != 0 : (i + 1) % interval != 0;
    spec.layers[i].rope = rotates ? 0 : -1;
  }
  config.OptionalWindows(spec, 0, [&](int layer) { return spec.layers[layer].rope < 0; });
  config.Tied(spec, true);
  definition.tensors = LlamaTensors();
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterSmollm3(models::Registry& registry) {
  registry.Add({"smollm3", {"SmolLM3ForCausalLM"}, models::DefineSmollm3});
}
}  // namespace banyan
