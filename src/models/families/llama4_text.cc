// SPDX-License-Identifier: Apache-2.0
// Llama 4, its text part: chunks of positions in layers that rotate, the others see everything.
#include <algorithm>

#include "models/model_def.h"

namespace banyan::models {
namespace {

// Which layers rotate, and what that means for their norms, their sight and their queries.
void DefineLayers(Config& config, nn::DecoderSpec& spec) {
  Fields& fields = config.fields;
  const int interval = fields.Optional<int>("no_rope_layer_interval", 4, {1, 4096});
  const auto rotates = fields.Maybe<std::vector<int>>("no_rope_layers");  // 1: it does
  const auto types = fields.Maybe<std::vector<std::string>>("layer_types");
  // llama.cpp knows the two models by their experts.
  const bool qk_norm =
      fields.Optional<bool>("use_qk_norm", !config.gguf() || spec.moe.experts != 128);
  const int chunk = config.Window("attention_chunk_size", 8192);
  const json::value* tuning = fields.Raw("attn_temperature_tuning");
  if (tuning != nullptr && !tuning->is_bool() && !tuning->is_number())
    fields.Fail("attn_temperature_tuning", "is neither true nor false");
  const bool null = tuning == nullptr && fields.object().contains("attn_temperature_tuning");
  const bool off = null || (tuning != nullptr && (*tuning == false || *tuning == 0));
  nn::RopeSpec still;
  still.query_scale_beta = off ? 0.0 : fields.Optional<double>("attn_scale", 0.1, {0, 1e6});
  still.trained_length = fields.Optional<int64_t>("floor_scale", 8192, {1, 1 << 30});
  still.query_scale_offset = 1;
  spec.ropes.push_back(still);
  const std::size_t count = spec.layers.size();
  if (rotates && !rotates->empty() && rotates->size() != count)
    return fields.Fail("no_rope_layers", "has another length than there are layers");
  if (types && types->size() != count)
    return fields.Fail("layer_types", "has another length than there are layers");
  for (std::size_t i = 0; i < count; ++i) {
    nn::LayerSpec& layer = spec.layers[i];
    const bool turns = rotates && !rotates->empty() ? (*rotates)[i] != 0 : (i + 1) % interval != 0;
    const bool chunked = types ? (*types)[i] == "chunked_attention" : turns;
    if (types && !chunked && (*types)[i] != "full_attention")
      return fields.Fail("layer_types", fmt::format("item {}: '{}' is not known", i, (*types)[i]));
    layer.rope = turns ? 0 : 1;
    layer.qk_norm = turns;
    layer.chunk = chunked ? chunk : 0;
  }
  if (!qk_norm) return;
  spec.attention.qk_norm = nn::AttentionSpec::QkNorm::kHead;
  spec.attention.qk_norm_spec = {.eps = spec.norm.eps, .weight = false};
  spec.attention.qk_norm_after_rope = true;
}

void DefineLlama4Text(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = config.Dims(8, 128);
  spec.norm = config.RmsNorm("rms_norm_eps", 1e-5);
  spec.mlp.activation = config.Activation({"hidden_act"}, "silu");
  config.Biases(spec);
  nn::RopeDefaults rope;
  rope.theta = 500000.0;
  rope.pairing = ops::RopePairing::kInterleaved;
  config.Rope(spec, 131072, std::move(rope));
  const int step = config.fields.Optional<int>("interleave_moe_layer_step", 1, {0, 4096});
  const auto listed = config.fields.Maybe<std::vector<int>>("moe_layers");
  config.Moe(spec, "intermediate_size", [&](int layer) {
    if (listed) return std::find(listed->begin(), listed->end(), layer) != listed->end();
    return step > 0 && (layer + 1) % step == 0;
  });
  nn::MoeSpec& moe = spec.moe;
  moe.routing.score = ops::Routing::Score::kSigmoid;
  moe.scale_input = true;
  if (!config.gguf()) {
    moe.shared_intermediate = moe.intermediate;
    spec.mlp.intermediate = config.fields.Required<int>("intermediate_size_mlp", {1, 1 << 24});
  }
  DefineLayers(config, spec);
  config.Tied(spec, false);
  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  AddMoe(tensors, spec,
         {.block = "model.layers.{l}.feed_forward", .router = "router", .shared = "shared_expert"});
  AddExpertsByColumns(tensors, "model.layers.{l}.feed_forward.experts",
                      {moe.intermediate, moe.intermediate}, 1);
  for (std::string_view part : {"gate", "up", "down"})
    Rename(tensors, fmt::format("layers.{{l}}.mlp.{}", part),
           fmt::format("model.layers.{{l}}.feed_forward.{}_proj", part));
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterLlama4Text(models::Registry& registry) {
  registry.Add({"llama4_text", {"Llama4ForCausalLM"}, models::DefineLlama4Text});
}
}  // namespace banyan
