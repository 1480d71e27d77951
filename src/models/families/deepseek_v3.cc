// SPDX-License-Identifier: Apache-2.0
// DeepSeek-V3 and R1, and what is built like them (Moonlight, Kimi K2): latent attention, experts
// scored by sigmoids, a correction for choosing, groups.
#include "models/latent.h"

namespace banyan::models {
namespace {

void DefineDeepseekV3(Config& config, Definition& definition) {
  DefineLatent(config, definition, {.max_position = 4096});
  AddDeepseekMoe(config, definition, 3);
  RouteAsDeepseekV3(config, definition.spec, 2.5, 8, 4);
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterDeepseekV3(models::Registry& registry) {
  registry.Add({"deepseek_v3", {"DeepseekV3ForCausalLM"}, models::DefineDeepseekV3});
}
}  // namespace banyan
