// SPDX-License-Identifier: Apache-2.0
// Mistral 4: latent attention with Llama 4's temperature; a softmax over the experts, normalized
// over the chosen.
#include "models/latent.h"

namespace banyan::models {
namespace {

void DefineMistral4(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  LatentDefaults defaults{.q_rank = 1024,
                          .rank = 256,
                          .nope_dim = 64,
                          .max_position = 1048576,
                          .rope_of_whole_head = true};
  defaults.rope_parameters = {
      {"rope_type", "yarn"}, {"factor", 128.0},       {"original_max_position_embeddings", 8192},
      {"mscale", 1.0},       {"mscale_all_dim", 1.0}, {"llama_4_scaling_beta", 0.1}};
  DefineLatent(config, definition, defaults);
  AddDeepseekMoe(config, definition, 0);
  config.GroupedRouting(spec, true, 1.0);
  spec.moe.routing.score = ops::Routing::Score::kSoftmax;
  spec.moe.correction_bias = false;
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterMistral4(models::Registry& registry) {
  registry.Add({"mistral4", {"Mistral4ForCausalLM"}, models::DefineMistral4});
}
}  // namespace banyan
