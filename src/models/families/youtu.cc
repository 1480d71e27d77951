// SPDX-License-Identifier: Apache-2.0
// Youtu-LLM: latent attention and dense networks.
#include "models/latent.h"

namespace banyan::models {
namespace {

void DefineYoutu(Config& config, Definition& definition) {
  DefineLatent(config, definition, {.max_position = 131072, .tied = true});
  // Its config class inherits a mixture's keys; the model has none.
  config.fields.Ignore({"moe_intermediate_size", "n_group", "n_routed_experts", "n_shared_experts",
                        "num_experts_per_tok", "topk_group", "first_k_dense_replace",
                        "routed_scaling_factor", "norm_topk_prob", "num_nextn_predict_layers",
                        "embedding_initializer_range"});
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterYoutu(models::Registry& registry) {
  registry.Add({"youtu", {"YoutuForCausalLM"}, models::DefineYoutu});
}
}  // namespace banyan
