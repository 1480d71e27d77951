// SPDX-License-Identifier: Apache-2.0
// DeepSeek-V3 and R1, and what is built like them (Moonlight, Kimi K2): latent attention, experts
// scored by sigmoids, a correction for choosing, groups.
#include "models/latent.h"

namespace banyan::models {
namespace {

void DefineDeepseekV3(Config& config, Definition& definition) {
  Fields& fields = config.fields;
  DefineLatent(config, definition, {.max_position = 4096});
  AddDeepseekMoe(config, definition, 3);
  config.GroupedRouting(definition.spec, true, 2.5);
  if (fields.Optional<std::string>("topk_method", "noaux_tc") != "noaux_tc")
    fields.Fail("topk_method", "other than noaux_tc is not of this family");
  if (fields.Optional<std::string>("scoring_func", "sigmoid") != "sigmoid")
    fields.Fail("scoring_func", "other than sigmoid is not of this family");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterDeepseekV3(models::Registry& registry) {
  registry.Add({"deepseek_v3", {"DeepseekV3ForCausalLM"}, models::DefineDeepseekV3});
}
}  // namespace banyan
