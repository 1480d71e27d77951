// SPDX-License-Identifier: Apache-2.0
// GLM 5: DeepSeek-V3.2's layers, but the index turns neighbours, and layers may share the choice of
// the one before.
#include "models/latent.h"

namespace banyan::models {
namespace {

// indexer_types, or letters F and S, or every how many layers one has an index of its own.
std::vector<std::string> IndexTypes(Fields& fields, std::size_t layers) {
  if (auto types = fields.Maybe<std::vector<std::string>>("indexer_types")) return *types;
  std::vector<std::string> types;
  const json::value* pattern = fields.Raw("index_topk_pattern");
  if (pattern != nullptr && pattern->is_string()) {
    for (char letter : pattern->get_string())
      types.emplace_back(letter == 'F' ? "full" : letter == 'S' ? "shared" : "?");
    return types;
  }
  if (pattern != nullptr) return fields.Required<std::vector<std::string>>("index_topk_pattern");
  const int every = std::max(fields.Optional<int>("index_topk_freq", 1, {0, 4096}), 1);
  const int offset = fields.Optional<int>("index_skip_topk_offset", 2, {0, 4096});
  for (int i = 0; i < static_cast<int>(layers); ++i)
    types.emplace_back(std::max(i - offset + 1, 0) % every == 0 ? "full" : "shared");
  return types;
}

void DefineGlmMoeDsa(Config& config, Definition& definition) {
  Fields& fields = config.fields;
  nn::DecoderSpec& spec = definition.spec;
  DefineLatent(config, definition,
               {.q_rank = 2048,
                .nope_dim = 192,
                .value_dim = 256,
                .max_position = 202752,
                .eps = 1e-5,
                .fixed_pairing = true});
  AddSparseIndex(config, definition, 32, ops::RopePairing::kInterleaved);
  AddDeepseekMoe(config, definition, 3);
  RouteAsDeepseekV3(config, spec, 2.5);
  const auto types = IndexTypes(fields, spec.layers.size());
  if (types.size() < spec.layers.size())
    return fields.Fail("indexer_types",
                       fmt::format("has {} items for {} layers", types.size(), spec.layers.size()));
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    spec.layers[i].own_index = types[i] == "full";
    if ((types[i] != "full" && types[i] != "shared") || (i == 0 && types[i] != "full"))
      return fields.Fail("indexer_types", fmt::format("item {}: '{}' is not known", i, types[i]));
  }
  config.Only("indexer_rope_interleave", true);
  fields.Ignore({"layer_types", "index_topk_freq", "index_skip_topk_offset", "index_topk_pattern"});
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterGlmMoeDsa(models::Registry& registry) {
  registry.Add({"glm_moe_dsa", {"GlmMoeDsaForCausalLM"}, models::DefineGlmMoeDsa});
}
}  // namespace banyan
