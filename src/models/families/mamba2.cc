// SPDX-License-Identifier: Apache-2.0
// Mamba 2: state spaces with one decay per head, no attention, no feed-forward network.
#include "models/recurrent.h"

namespace banyan::models {
namespace {

void DefineMamba2(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec = StateModelSizes(config);
  spec.norm = config.RmsNorm("layer_norm_epsilon", 1e-5);
  for (nn::LayerSpec& layer : spec.layers) {
    layer.mixer = nn::Mixer::kMamba2;
    layer.feed_forward = nn::FeedForward::kNone;
  }
  Fields& fields = config.fields;
  nn::Mamba2Spec& mamba = spec.mamba2;
  mamba.heads = fields.Optional<int>("num_heads", 128, kHeadCounts);
  mamba.head_dim = fields.Optional<int>("head_dim", 64, kHeadSizes);
  const int expand = fields.Optional<int>("expand", 2, kExpansions);
  if (!config.gguf() && int64_t{expand} * spec.hidden_size != mamba.inner())
    fields.Fail("num_heads", fmt::format("{} heads of {} are not expand * hidden_size = {}",
                                         mamba.heads, mamba.head_dim, expand * spec.hidden_size));
  mamba.state = fields.Optional<int>("state_size", 128, kHeadSizes);
  mamba.groups = fields.Optional<int>("n_groups", 8, kHeadCounts);
  if (mamba.heads % mamba.groups != 0) fields.Fail("n_groups", "does not divide num_heads");
  mamba.kernel = fields.Optional<int>("conv_kernel", 4, {2, 8});
  mamba.in_bias = mamba.output_bias = fields.Optional<bool>("use_bias", false);
  mamba.conv_bias = fields.Optional<bool>("use_conv_bias", true);
  mamba.norm_eps = spec.norm.eps;
  // transformers normalizes all of it as one, llama.cpp each group.
  if (config.gguf()) mamba.norm_groups = mamba.groups;
  mamba.norm_by_groups = config.gguf();
  TimeStepLimit(config, mamba);
  OnlySilu(config, "hidden_act");
  fields.Ignore({"chunk_size", "intermediate_size", "residual_in_fp32", "rescale_prenorm_residual",
                 "time_step_floor", "time_step_max", "time_step_min", "time_step_rank"});
  config.Tied(spec, false);

  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  tensors.base_prefix = "backbone.";
  Rename(tensors, "embed", "backbone.embeddings|backbone.embedding");
  Rename(tensors, "final_norm", "backbone.norm_f");
  Rename(tensors, "layers.{l}.attention_norm", "backbone.layers.{l}.norm");
  AddMamba2(tensors, "backbone.layers.{l}.mixer");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterMamba2(models::Registry& registry) {
  registry.Add({"mamba2", {"Mamba2ForCausalLM"}, models::DefineMamba2});
}
}  // namespace banyan
