// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "models/model_def.h"

namespace banyan::models {
namespace {

constexpr std::string_view kParts[] = {".weight", ".bias"};

// Each of the alternatives with `part` behind it.
std::string With(std::string_view pattern, std::string_view part) {
  std::string out;
  while (!pattern.empty()) {
    const std::size_t end = pattern.find('|');
    out += fmt::format("{}{}{}", out.empty() ? "" : "|", pattern.substr(0, end), part);
    pattern = end == pattern.npos ? "" : pattern.substr(end + 1);
  }
  return out;
}

weights::TensorRow* Find(weights::TensorTable& table, std::string_view logical) {
  for (weights::TensorRow& row : table.rows)
    if (row.logical == logical) return &row;
  return nullptr;
}

// `part` of the matrices stacked in `safetensors` and `gguf`. A config in error may say 0 groups.
void Fuse(weights::TensorTable& table, std::string_view logical, std::string_view safetensors,
          std::string_view gguf, const std::vector<int64_t>& sizes, int part, int64_t groups) {
  for (std::string_view suffix : kParts) {
    weights::TensorRow* row = &Row(table, fmt::format("{}{}", logical, suffix));
    if (!safetensors.empty()) {
      row->safetensors = With(safetensors, suffix);
      row->transform.parts = sizes;
      for (int64_t& size : row->transform.parts) size /= std::max<int64_t>(groups, 1);
      row->transform.part = part;
      row->transform.groups = groups;
    }
    if (!gguf.empty()) {
      row->gguf = With(gguf, suffix);
      row->gguf_transform.parts = sizes;
      row->gguf_transform.part = part;
    }
  }
}

}  // namespace

weights::TensorTable LlamaTensors() {
  weights::TensorTable table;
  auto row = [&](std::string_view logical, std::string_view safetensors, std::string_view gguf) {
    for (std::string_view part : kParts)
      table.rows.push_back(
          {fmt::format("{}{}", logical, part), With(safetensors, part), With(gguf, part), {}, {}});
  };
  auto layer_row = [&](std::string_view logical, std::string_view safetensors,
                       std::string_view gguf) {
    row(fmt::format("layers.{{l}}.{}", logical),
        safetensors.empty() ? "" : fmt::format("model.layers.{{l}}.{}", safetensors),
        fmt::format("blk.{{l}}.{}", gguf));
  };
  row("embed", "model.embed_tokens", "token_embd");
  row("final_norm", "model.norm", "output_norm");
  row("output", "lm_head", "output");
  layer_row("attention_norm", "input_layernorm", "attn_norm");
  layer_row("attention.q", "self_attn.q_proj", "attn_q");
  layer_row("attention.k", "self_attn.k_proj", "attn_k");
  layer_row("attention.v", "self_attn.v_proj", "attn_v");
  layer_row("attention.output", "self_attn.o_proj", "attn_output");
  layer_row("attention.q_norm", "self_attn.q_norm", "attn_q_norm");
  layer_row("attention.k_norm", "self_attn.k_norm", "attn_k_norm");
  layer_row("mlp_norm", "post_attention_layernorm", "ffn_norm");
  layer_row("mlp.gate", "mlp.gate_proj", "ffn_gate");
  layer_row("mlp.up", "mlp.up_proj", "ffn_up");
  layer_row("mlp.down", "mlp.down_proj", "ffn_down");
  for (std::string_view norm : {"q_norm", "k_norm"})  // of each head apart
    table.rows.push_back({fmt::format("layers.{{l}}.attention.{}.{{h}}.weight", norm),
                          fmt::format("model.layers.{{l}}.self_attn.{}.weight", norm),
                          fmt::format("blk.{{l}}.attn_{}.weight", norm),
                          {},
                          {}});
  layer_row("attention_post_norm", "", "post_attention_norm");
  layer_row("mlp_post_norm", "", "post_ffw_norm");
  // Frequencies, which old versions of transformers saved, and causal masks.
  table.ignored = {"*.rotary_emb.inv_freq", "*.rotary_emb.cos_cached", "*.rotary_emb.sin_cached"};
  table.base_prefix = "model.";
  return table;
}

void Rename(weights::TensorTable& table, std::string_view logical, std::string_view safetensors,
            std::string_view gguf) {
  for (std::string_view part : kParts) {
    const std::string name = fmt::format("{}{}", logical, part);
    weights::TensorRow* row = Find(table, name);
    if (row == nullptr) row = &table.rows.emplace_back(weights::TensorRow{name, "", "", {}, {}});
    row->safetensors = With(safetensors, part);
    if (!gguf.empty()) row->gguf = With(gguf, part);
  }
}

weights::TensorRow& Row(weights::TensorTable& table, std::string_view logical) {
  weights::TensorRow* row = Find(table, logical);
  BANYAN_CHECK(row != nullptr, "the table lacks {}", logical);
  return *row;
}

void AddOneToNorms(weights::TensorTable& table) {
  for (weights::TensorRow& row : table.rows)
    if (row.logical.ends_with("norm.weight")) row.transform.add = 1.0f;
}

void FuseQkv(weights::TensorTable& table, const nn::DecoderSpec& spec, std::string_view safetensors,
             std::string_view gguf, int64_t groups) {
  const nn::AttentionSpec& attention = spec.attention;
  const int64_t q = int64_t{attention.heads} * attention.head_dim;
  const int64_t kv = int64_t{attention.kv_heads} * attention.head_dim;
  int part = 0;
  for (std::string_view name : {"q", "k", "v"})
    Fuse(table, fmt::format("layers.{{l}}.attention.{}", name), safetensors, gguf, {q, kv, kv},
         part++, groups);
}

void FuseGateUp(weights::TensorTable& table, const nn::DecoderSpec& spec,
                std::string_view safetensors, std::string_view gguf) {
  const int64_t rows = spec.mlp.intermediate;
  int part = 0;
  for (std::string_view name : {"gate", "up"})
    Fuse(table, fmt::format("layers.{{l}}.mlp.{}", name), safetensors, gguf, {rows, rows}, part++,
         1);
}

}  // namespace banyan::models
