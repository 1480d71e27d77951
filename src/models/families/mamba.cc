// SPDX-License-Identifier: Apache-2.0
// Mamba, and Falcon Mamba, which normalizes what sets a step: selective state spaces alone, no
// attention, no feed-forward network.
#include "models/recurrent.h"

namespace banyan::models {
namespace {

void DefineMamba(Config& config, Definition& definition) {
  constexpr Range kCount{1, 1 << 24};
  nn::DecoderSpec& spec = definition.spec;
  spec = StateModelSizes(config);
  spec.norm = config.RmsNorm("layer_norm_epsilon", 1e-5);
  for (nn::LayerSpec& layer : spec.layers) {
    layer.mixer = nn::Mixer::kMamba;
    layer.feed_forward = nn::FeedForward::kNone;
  }
  Fields& fields = config.fields;
  nn::MambaSpec& mamba = spec.mamba;
  const int expand = fields.Optional<int>("expand", 2, kExpansions);
  mamba.inner = config.gguf()
                    ? fields.Required<int>("intermediate_size", kCount)
                    : fields.Optional<int>("intermediate_size", expand * spec.hidden_size, kCount);
  mamba.state = fields.Optional<int>("state_size", 16, kHeadSizes);
  mamba.kernel = fields.Optional<int>("conv_kernel", 4, {2, 8});
  mamba.dt_rank = SizeOrAuto(config, "time_step_rank", (spec.hidden_size + 15) / 16);
  mamba.bias = fields.Optional<bool>("use_bias", false);
  mamba.conv_bias = fields.Optional<bool>("use_conv_bias", true);
  OnlySilu(config, "hidden_act");
  fields.Ignore({"residual_in_fp32", "rescale_prenorm_residual", "time_step_floor",
                 "time_step_init_scheme", "time_step_max", "time_step_min", "time_step_scale",
                 "use_mambapy", "use_associative_scan", "use_falcon_mambapy"});
  config.Tied(spec, true);

  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  tensors.base_prefix = "backbone.";
  Rename(tensors, "embed", "backbone.embeddings|backbone.embedding");
  Rename(tensors, "final_norm", "backbone.norm_f");
  Rename(tensors, "layers.{l}.attention_norm", "backbone.layers.{l}.norm");
  AddMamba(tensors, "backbone.layers.{l}.mixer");
}

void DefineFalconMamba(Config& config, Definition& definition) {
  DefineMamba(config, definition);
  nn::MambaSpec& mamba = definition.spec.mamba;
  mamba.norms = true;
  mamba.norm_weights = false;
  mamba.norm_eps =
      static_cast<float>(config.fields.Optional<double>("mixer_rms_eps", 1e-6, {0, 1}));
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterMamba(models::Registry& registry) {
  registry.Add({"mamba", {"MambaForCausalLM"}, models::DefineMamba});
  registry.Add({"falcon_mamba", {"FalconMambaForCausalLM"}, models::DefineFalconMamba});
}
}  // namespace banyan
