// SPDX-License-Identifier: Apache-2.0
// Falcon: 7B (one key head, one norm), 40B and 180B (groups of heads, two norms), RW (ALiBi,
// sequential), Falcon 2 11B.
#include <cmath>

#include "models/model_def.h"

namespace banyan::models {
namespace {

void DefineFalcon(Config& config, Definition& definition) {
  nn::DecoderSpec& spec = definition.spec;
  Fields& fields = config.fields;
  spec.vocab_size = fields.Required<int>("vocab_size", {1, 1 << 24});
  spec.hidden_size = fields.Required<int>("hidden_size", {1, 1 << 24});
  spec.layers.resize(fields.Required<int>("num_hidden_layers", {1, 4096}));
  nn::AttentionSpec& attention = spec.attention;
  attention.heads = fields.Required<int>("num_attention_heads", {1, 1 << 16});
  if (!fields.status().ok()) return;
  const bool grouped = fields.Optional<bool>("new_decoder_architecture", false);
  const bool multi_query = config.Flag("multi_query", true);
  const bool parallel = config.Flag("parallel_attn", true);
  const int kv_heads = fields.Optional<int>("num_kv_heads", attention.heads, {1, 1 << 16});
  attention.kv_heads = grouped || config.gguf() ? kv_heads : multi_query ? 1 : attention.heads;
  if (spec.hidden_size % attention.heads != 0 || attention.heads % attention.kv_heads != 0)
    return fields.Fail("num_attention_heads",
                       fmt::format("{} does not divide hidden_size {}, or num_kv_heads {} it",
                                   attention.heads, spec.hidden_size, attention.kv_heads));
  attention.head_dim = spec.hidden_size / attention.heads;
  attention.scale = 1.0f / std::sqrt(static_cast<float>(attention.head_dim));
  const bool bias = fields.Optional<bool>("bias", false);
  attention.qkv_bias = attention.output_bias = bias;
  const int inner = fields.Optional<int>("ffn_hidden_size", 4 * spec.hidden_size, {1, 1 << 24});
  spec.mlp = {inner, false, config.Activation({"activation"}, "gelu"), bias, bias};
  spec.norm = config.LayerNorm("layer_norm_epsilon", 1e-5);
  const bool two_norms = config.gguf()
                             ? config.HasTensor("blk.0.attn_norm_2.weight")
                             : grouped && fields.Optional<int>("num_ln_in_parallel_attn", 2) == 2;
  if (parallel || grouped) spec.residual = nn::Residual::kParallel;
  spec.mlp_norm = two_norms || !parallel;
  fields.Ignore({"num_ln_in_parallel_attn"});
  config.Rope(spec, 2048);
  if (fields.Optional<bool>("alibi", false)) {
    attention.alibi = true;
    for (nn::LayerSpec& layer : spec.layers) layer.rope = -1;
  }
  config.Tied(spec, true);

  weights::TensorTable& tensors = definition.tensors = LlamaTensors();
  const std::string layer = "transformer.h.{l}.";
  Rename(tensors, "embed", "transformer.word_embeddings");
  Rename(tensors, "final_norm", "transformer.ln_f");
  Rename(tensors, "layers.{l}.attention_norm", layer + (two_norms ? "ln_attn" : "input_layernorm"),
         two_norms ? "blk.{l}.attn_norm_2" : "");
  Rename(tensors, "layers.{l}.mlp_norm",
         layer + (two_norms ? "ln_mlp" : "post_attention_layernorm"),
         two_norms ? "blk.{l}.attn_norm" : "");
  Rename(tensors, "layers.{l}.attention.output", layer + "self_attention.dense");
  Rename(tensors, "layers.{l}.mlp.up", layer + "mlp.dense_h_to_4h");
  Rename(tensors, "layers.{l}.mlp.down", layer + "mlp.dense_4h_to_h");
  const int groups = grouped ? attention.kv_heads : multi_query ? 1 : attention.heads;
  FuseQkv(tensors, spec, layer + "self_attention.query_key_value", "", groups);
  tensors.base_prefix = "transformer.";
}

}  // namespace
}  // namespace banyan::models

namespace banyan {
void RegisterFalcon(models::Registry& registry) {
  registry.Add({"falcon", {"FalconForCausalLM", "RWForCausalLM"}, models::DefineFalcon});
}
}  // namespace banyan
