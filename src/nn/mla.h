// SPDX-License-Identifier: Apache-2.0
// Mla: multi-head latent attention (DeepSeek-V2, 2024). The cache holds one row per position that
// all heads share: a normed latent of `rank` values, from which each head's key and value would be
// computed, and a rotated key of `rope_dim` values.
//
// It is attended to as it lies ("absorbed"): a head's query without positions goes through the
// head's key matrix into the latent space, and what was gathered there through its value matrix, so
// that a position's row is the key of all heads and its first `rank` values are their value. That
// reads least, and every row gets the same bits however its prompt is cut. With
// LatentSpec::expand_rows, sequences with many rows in a step compute keys and values of all
// positions instead, which takes fewer multiplications and rounds otherwise.
//
// With an index (DeepSeek-V3.2) a query attends to the positions that ops/sparse_index.h chooses.
// The reference quantizes queries and keys of the index to 8 bits and turns both by a Hadamard
// matrix before; here they keep the cache's type, and without the rounding the turn changes no
// product.
//
// Logical names of its weights, under NAME ("layers.3.attention"):
//   NAME.q_a, NAME.q_norm, NAME.q_b, or NAME.q   NAME.kv_a, NAME.kv_norm   NAME.output
//   NAME.kv_b, or NAME.k_b.{h} and NAME.v_b.{h} (Scope::AddLatentHeads)
//   NAME.index.{q,k,weights}, NAME.index.k_norm (.weight, .bias)
#pragma once

#include <optional>
#include <string>

#include "nn/block.h"
#include "nn/decoder_spec.h"
#include "nn/norm.h"
#include "nn/scope.h"

namespace banyan::nn {

class Mla final : public Block {
 public:
  Mla(Scope& scope, const std::string& name, const LatentSpec& spec, const LayerSpec& layer,
      int hidden, int index);
  void Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const override;

 private:
  // The lightning indexer's part.
  struct Index {
    Linear q, k, weights;
    std::optional<Norm> k_norm;
  };
  void WriteIndex(const StepInputs& step, const Tensor& in) const;
  bool Chooses(const StepInputs& step) const;
  void Choose(const StepInputs& step, const Tensor& in, const Tensor& q_latent) const;
  // q: [n, heads, nope_dim + rope_dim], turned; out: [n, heads, value_dim].
  void Attend(const StepInputs& step, const Tensor& q, const Tensor& out) const;
  void Absorbed(const ops::OpContext& context, const ops::AttentionPlan& plan,
                const ops::AttentionParams& params, const Tensor& q, const Tensor& latent,
                const Tensor& out) const;
  void Expanded(const ops::OpContext& context, const ops::AttentionParams& params,
                const ops::AttentionSequence& sequence, int page_size, const Tensor& q,
                const Tensor& latent, const Tensor& out) const;

  const LatentSpec spec_;
  const LayerSpec layer_;
  const int index_number_;
  // in_: of the queries (their latent), and of the latent; of that alone where a bias is but no
  // latent of the queries, which q_b_ then makes.
  Linear in_, q_b_, output_;
  std::optional<Norm> q_norm_, kv_norm_;
  LatentHeads heads_;
  std::optional<Index> index_;
  int group_ = 0;  // of the cache
};

}  // namespace banyan::nn
