// SPDX-License-Identifier: Apache-2.0
// GPT-2 (Radford et al. 2019): learned positions, matrices stored [in, out].
#include <cmath>

#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineGpt2(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  Fields& fields = config.fields;
  spec.vocab_size = fields.Required<int>("vocab_size", {1, 1 << 24});
  spec.hidden_size = fields.Required<int>("n_embd", {1, 1 << 24});
  spec.layers.resize(fields.Required<int>("n_layer", {1, 4096}), {.rope = -1});
  nn::AttentionSpec& attention = spec.attention;
  attention.heads = attention.kv_heads = fields.Required<int>("n_head", {1, 1 << 16});
  if (!fields.status().ok()) return;
  if (spec.hidden_size % attention.heads != 0)
    return fields.Fail("n_head", fmt::format("does not divide n_embd {}", spec.hidden_size));
  attention.head_dim = spec.hidden_size / attention.heads;
  attention.scale = fields.Optional<bool>("scale_attn_weights", true)
                        ? 1.0f / std::sqrt(static_cast<float>(attention.head_dim))
                        : 1.0f;
  if (fields.Optional<bool>("scale_attn_by_inverse_layer_idx", false))
    for (std::size_t i = 0; i < spec.layers.size(); ++i)
      spec.layers[i].scale = 1.0f / static_cast<float>(i + 1);
  attention.qkv_bias = attention.output_bias = true;
  const int inner = fields.Optional<int>("n_inner", 4 * spec.hidden_size, {1, 1 << 24});
  spec.mlp = {inner, false, config.Activation({"activation_function"}, "gelu_new"), true, true};
  spec.norm = config.LayerNorm("layer_norm_epsilon", 1e-5);
  spec.context_length = fields.Optional<int64_t>("n_positions", 1024, {1, 1 << 24});
  spec.learned_positions = spec.context_length;
  config.Only("add_cross_attention", false);
  config.Tied(spec, true);
  // The first changes the order of a product, not its value; the others are of other tasks.
  fields.Ignore({"reorder_and_upcast_attn", "n_ctx", "summary_activation", "summary_first_dropout",
                 "summary_proj_to_labels", "summary_type", "summary_use_proj"});

  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  const std::string layer = "transformer.h.{l}.";
  Rename(tensors, "embed", "transformer.wte");
  Rename(tensors, "position", "transformer.wpe", "position_embd");
  Rename(tensors, "final_norm", "transformer.ln_f");
  Rename(tensors, "layers.{l}.attention_norm", layer + "ln_1");
  Rename(tensors, "layers.{l}.attention.output", layer + "attn.c_proj");
  Rename(tensors, "layers.{l}.mlp_norm", layer + "ln_2");
  Rename(tensors, "layers.{l}.mlp.up", layer + "mlp.c_fc");
  Rename(tensors, "layers.{l}.mlp.down", layer + "mlp.c_proj");
  FuseQkv(tensors, spec, layer + "attn.c_attn", "");
  for (std::string_view name :
       {"attention.q", "attention.k", "attention.v", "attention.output", "mlp.up", "mlp.down"})
    Row(tensors, fmt::format("layers.{{l}}.{}.weight", name)).transform.transpose = true;
  tensors.base_prefix = "transformer.";
  tensors.ignored = {"transformer.h.*.attn.bias", "transformer.h.*.attn.masked_bias",
                     "h.*.attn.bias", "h.*.attn.masked_bias"};
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterGpt2(models::Registry& registry) {
  registry.Add({"gpt2", {"GPT2LMHeadModel"}, models::DefineGpt2});
}
}  // namespace banyan
