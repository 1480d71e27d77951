// SPDX-License-Identifier: Apache-2.0
// DeepSeek-V2 and V2-Lite: latent attention; a softmax over the experts, chosen greedily or within
// the groups of the best.
#include "models/latent.h"

namespace banyan::models {
namespace {

void DefineDeepseekV2(Config& config, Definition& definition) {
  Fields& fields = config.fields;
  DefineLatent(config, definition, {.fixed_pairing = true});
  AddDeepseekMoe(config, definition, 0, 2);
  definition.spec.moe.shared_bias |= definition.spec.mlp.up_bias;
  ops::Routing& routing = definition.spec.moe.routing;
  routing.scale = fields.Optional<float>("routed_scaling_factor", 1.0f, {0, 1e6});
  const auto method = fields.Optional<std::string>("topk_method", "greedy");
  if (method == "group_limited_greedy") {
    routing.groups = fields.Required<int>("n_group", {1, 256});
    routing.top_groups = fields.Required<int>("topk_group", {1, 256});
  } else if (method != "greedy") {
    fields.Fail("topk_method", fmt::format("'{}' is not of this family", method));
  }
  fields.Ignore({"n_group", "topk_group"});
  if (fields.Optional<std::string>("scoring_func", "softmax") != "softmax")
    fields.Fail("scoring_func", "other than softmax is not of this family");
  fields.Ignore({"norm_topk_prob"});  // as transformers, which does not look at it
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterDeepseekV2(models::Registry& registry) {
  registry.Add({"deepseek_v2", {"DeepseekV2ForCausalLM"}, models::DefineDeepseekV2});
}
}  // namespace banyan
