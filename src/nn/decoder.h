// SPDX-License-Identifier: Apache-2.0
// Decoder: a decoder-only transformer built from a DecoderSpec.
//
// Logical names of its weights, which a family's tensor table maps to a checkpoint's:
//   embed.weight [vocab, embedding_dim]   position.weight [learned_positions, hidden]
//   embed_in.weight, embed_out.weight (where embedding_dim is not hidden_size)
//   layers.{l}.attention_norm, .attention_post_norm, .mlp_norm, .mlp_post_norm (.weight, .bias)
//   layers.{l}.{attention,mlp}_residual [hidden] (where the stream is weighted)
//   layers.{l}.{attention,mixer,mlp}.*: see the blocks' own headers
//   final_norm (.weight, .bias)   output.weight [vocab, embedding_dim], output.bias
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "nn/block.h"
#include "nn/decoder_spec.h"
#include "nn/model.h"
#include "nn/scope.h"

namespace banyan::nn {

class Decoder : public Model {
 public:
  // `info` holds what the caller knows (family, architecture, end ids); the rest is filled from the
  // spec and the scope. kInvalidArgument and kUnimplemented as the loader says.
  static StatusOr<std::unique_ptr<Decoder>> Build(DecoderSpec spec, Scope& scope,
                                                  weights::Loader& loader, ModelInfo info);

  const ModelInfo& info() const override { return info_; }
  Status Forward(const ops::OpContext& context, const ForwardBatch& batch,
                 const Tensor& logits) override;
  std::string PlaceName(int32_t place) const override;

 private:
  struct Layer {
    std::optional<Norm> attention_norm, attention_post_norm, mlp_norm, mlp_post_norm;
    std::unique_ptr<Block> mixer, feed_forward;  // null: none
    Vector attention_residual, mlp_residual;     // or empty: 1
    StreamScales mixer_scales, mlp_scales;
  };
  struct Step;

  Decoder(DecoderSpec spec, ModelInfo info) : spec_(std::move(spec)), info_(std::move(info)) {}
  void Declare(Scope& scope, weights::Loader& loader);
  void DeclareLayer(Scope& scope, int index);
  std::unique_ptr<Block> DeclareMixer(Scope& scope, int index) const;
  Status CheckBatch(const ForwardBatch& batch) const;
  void Embed(Step& step) const;
  // The stream with what waits to be added, normalized; the stream itself where `norm` is off.
  Tensor AddAndNorm(Step& step, const std::optional<Norm>& norm) const;
  void RunLayer(Step& step, std::size_t index) const;
  void Finish(Step& step, const std::optional<Norm>& post_norm, const Tensor& delta) const;
  void Logits(Step& step, const Tensor& logits) const;

  DecoderSpec spec_;
  ModelInfo info_;
  Table embed_, positions_;
  Linear embed_in_, embed_out_;
  std::vector<Layer> layers_;
  std::optional<Norm> final_norm_;
  Linear output_;
  std::vector<Rope> ropes_;
};

}  // namespace banyan::nn
