// SPDX-License-Identifier: Apache-2.0
// GLM 4.7 Flash: DeepSeek-V3's layers at a small size.
#include "models/latent.h"

namespace banyan::models {
namespace {

void DefineGlm4MoeLite(Config& config, Definition& definition) {
  DefineLatent(
      config, definition,
      {.q_rank = 768, .nope_dim = 192, .value_dim = 256, .max_position = 202752, .eps = 1e-5});
  AddDeepseekMoe(config, definition, 1);
  RouteAsDeepseekV3(config, definition.spec, 1.8);
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterGlm4MoeLite(models::Registry& registry) {
  registry.Add({"glm4_moe_lite", {"Glm4MoeLiteForCausalLM"}, models::DefineGlm4MoeLite});
}
}  // namespace banyan
