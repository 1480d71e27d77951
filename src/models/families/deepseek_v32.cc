// SPDX-License-Identifier: Apache-2.0
// DeepSeek-V3.2: V3 with sparse attention in every layer.
#include "models/latent.h"

namespace banyan::models {
namespace {

void DefineDeepseekV32(Config& config, Definition& definition) {
  DefineLatent(config, definition, {.max_position = 163840, .fixed_pairing = true});
  AddSparseIndex(config, definition, 64);
  AddDeepseekMoe(config, definition, 3);
  RouteAsDeepseekV3(config, definition.spec, 2.5, 8, 4);
  config.fields.Ignore({"layer_types"});
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterDeepseekV32(models::Registry& registry) {
  registry.Add({"deepseek_v32", {"DeepseekV32ForCausalLM"}, models::DefineDeepseekV32});
}
}  // namespace banyan
