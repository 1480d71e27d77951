// SPDX-License-Identifier: Apache-2.0
// MiniCPM3: latent attention with dense networks, and scales on the embedding, on what each block
// adds and on the logits.
#include <cmath>

#include "models/latent.h"

namespace banyan::models {
namespace {

void DefineMinicpm3(Config& config, Definition& definition) {
  Fields& fields = config.fields;
  nn::DecoderSpec& spec = definition.spec;
  DefineLatent(config, definition,
               {.q_rank = 768,
                .rank = 256,
                .nope_dim = 64,
                .rope_dim = 32,
                .value_dim = 0,
                .max_position = 32768,
                .eps = 1e-5,
                .pairing = ops::RopePairing::kHalves,
                .fixed_pairing = true,
                .tied = true});
  const auto layers = static_cast<double>(spec.layers.size());
  const auto scale = [&](std::string_view key, double fallback, double of_null) {
    const bool null = !fields.Has(key) && fields.object().contains(json::string_view(key));
    return fields.Optional<double>(key, null ? of_null : fallback, {1e-6, 1e6});
  };
  spec.embedding_scale = static_cast<float>(scale("scale_emb", 12, 1));
  spec.round_embedding_scale = true;
  spec.residual_scale =
      static_cast<float>(scale("scale_depth", 1.4, std::sqrt(layers)) / std::sqrt(layers));
  spec.logit_scale =
      static_cast<float>(scale("dim_model_base", 256, spec.hidden_size) / spec.hidden_size);
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterMinicpm3(models::Registry& registry) {
  registry.Add({"minicpm3", {"MiniCPM3ForCausalLM"}, models::DefineMinicpm3});
}
}  // namespace banyan
