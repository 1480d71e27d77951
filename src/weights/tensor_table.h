// SPDX-License-Identifier: Apache-2.0
// TensorTable: which checkpoint tensor holds which weight of a family, as data.
//
// A row maps one logical name to the names in the two file formats. Placeholders in braces stand
// for a decimal number: `{l}` the layer, `{e}` the expert. A placeholder of the logical name that
// the file's pattern lacks selects an item of the file tensor's dimension 0 (experts stacked in one
// tensor):
//
//   {"layers.{l}.attn.q.weight", "model.layers.{l}.self_attn.q_proj.weight",
//   "blk.{l}.attn_q.weight"}
//   {"layers.{l}.experts.{e}.up.weight", "model.layers.{l}.mlp.experts.{e}.up_proj.weight",
//    "blk.{l}.ffn_up_exps.weight"}
//
// A pattern may list alternatives separated by '|'; the first that the checkpoint holds is taken.
// An empty pattern: the format has no such tensor.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace banyan::weights {

// How the file's tensor becomes the weight: the steps below in this order, each off by default.
// Without any step, and for one part of one group along axis 0, the weight is read in place.
struct Transform {
  // 1. Swaps the last two dimensions: GPT-2's Conv1D stores [in, out]. Plain types only. (The part
  // below is cut out first, so that nothing else is copied.)
  bool transpose = false;

  // 2. Takes one part of several stacked along `axis`. The sizes are those within one group; the
  // stack repeats `groups` times. q, k, v stacked: parts {q, k, v}, groups 1. GPT-NeoX (q, k, v of
  // head 0, then of head 1, ...): parts {d, d, d}, groups heads. Gate and up in turn: parts {1, 1},
  // groups intermediate_size. Quantized types cannot be cut along their last dimension.
  std::vector<int64_t> parts{};
  int part = 0;
  int64_t groups = 1;
  int axis = 0;

  // 3. Value-wise, of floating point types; the weight is then f32.
  bool minus_exp = false;  // -exp(x): Mamba's A_log
  float add = 0.0f;        // x + add: norms stored as their distance from 1
};

struct TensorRow {
  std::string logical;
  std::string safetensors;
  std::string gguf;
  Transform transform{};       // of the safetensors tensor
  Transform gguf_transform{};  // of the GGUF tensor: conversion has often done it already
};

struct TensorTable {
  std::vector<TensorRow> rows;
  // Safetensors names whose values we compute ourselves (rotary inv_freq, causal masks) or do not
  // use; '*' stands for any text. `ignored_gguf` is the same for GGUF.
  std::vector<std::string> ignored;
  std::vector<std::string> ignored_gguf;
  // The base model's prefix ("model.", "transformer."): a checkpoint saved from the bare base model
  // lacks it on every tensor; both are read, as in transformers.
  std::string base_prefix;
};

}  // namespace banyan::weights
