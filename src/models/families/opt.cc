// SPDX-License-Identifier: Apache-2.0
// OPT (Zhang et al. 2022): learned positions, biases everywhere; the 350m model has its norms after
// the sums and narrower embeddings.
#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineOpt(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  spec.vocab_size = config.fields.Required<int>("vocab_size", {1, 1 << 24});
  spec.hidden_size = config.fields.Required<int>("hidden_size", {1, 1 << 24});
  spec.layers.resize(config.fields.Required<int>("num_hidden_layers", {1, 4096}), {.rope = -1});
  spec.mlp.intermediate = config.fields.Required<int>("ffn_dim", {1, 1 << 24});
  config.Heads(spec);
  const bool before = config.fields.Optional<bool>("do_layer_norm_before", true);
  const bool affine = config.fields.Optional<bool>("layer_norm_elementwise_affine", true);
  spec.norm = {nn::NormSpec::Kind::kLayer, 1e-5f, affine, affine};
  spec.residual = before ? nn::Residual::kSequential : nn::Residual::kNormAfterAdd;
  spec.attention_norm = spec.mlp_norm = before;
  spec.attention_post_norm = spec.mlp_post_norm = !before;
  const bool removed = config.fields.Optional<bool>("_remove_final_layer_norm", false);
  spec.final_norm = before && !removed;
  const bool bias = config.fields.Optional<bool>("enable_bias", true);
  spec.attention.qkv_bias = spec.attention.output_bias = bias;
  spec.mlp = {spec.mlp.intermediate, false, config.Activation({"activation_function"}, "relu"),
              bias, bias};
  spec.embedding_dim =
      config.fields.Optional<int>("word_embed_proj_dim", spec.hidden_size, {1, 1 << 24});
  spec.context_length =
      config.fields.Optional<int64_t>("max_position_embeddings", 2048, {1, 1 << 24});
  spec.position_offset = 2;
  spec.learned_positions = spec.context_length + spec.position_offset;
  config.Tied(spec, true);

  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  const std::string layer = "model.decoder.layers.{l}.";
  Rename(tensors, "embed", "model.decoder.embed_tokens");
  Rename(tensors, "position", "model.decoder.embed_positions");
  Rename(tensors, "embed_in", "model.decoder.project_in");
  Rename(tensors, "embed_out", "model.decoder.project_out");
  Rename(tensors, "final_norm", "model.decoder.final_layer_norm");
  for (std::string_view name : {"q", "k", "v"})
    Rename(tensors, fmt::format("layers.{{l}}.attention.{}", name),
           fmt::format("{}self_attn.{}_proj", layer, name));
  Rename(tensors, "layers.{l}.attention.output", layer + "self_attn.out_proj");
  Rename(tensors, before ? "layers.{l}.attention_norm" : "layers.{l}.attention_post_norm",
         layer + "self_attn_layer_norm");
  Rename(tensors, before ? "layers.{l}.mlp_norm" : "layers.{l}.mlp_post_norm",
         layer + "final_layer_norm");
  Rename(tensors, "layers.{l}.mlp.up", layer + "fc1");
  Rename(tensors, "layers.{l}.mlp.down", layer + "fc2");
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterOpt(models::Registry& registry) {
  registry.Add({"opt", {"OPTForCausalLM"}, models::DefineOpt});
}
}  // namespace banyan
