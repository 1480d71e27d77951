// SPDX-License-Identifier: Apache-2.0
// Declaring a decoder's weights and its needs of the cache; decoder.cc runs it.
#include "nn/attention.h"
#include "nn/decoder.h"
#include "nn/gated_delta.h"
#include "nn/lightning.h"
#include "nn/mamba.h"
#include "nn/mamba2.h"
#include "nn/mixer_pair.h"
#include "nn/mla.h"
#include "nn/mlp.h"
#include "nn/moe.h"
#include "nn/retrieval.h"
#include "nn/short_conv.h"
#include "ops/reference/half.h"

namespace banyan::nn {
namespace {

float RoundTo(DType dtype, float value) {
  if (dtype == DType::kBF16) return ops::FromBf16(ops::ToBf16(value));
  if (dtype == DType::kF16) return ops::FromF16(ops::ToF16(value));
  return value;
}

}  // namespace

StatusOr<std::unique_ptr<Decoder>> Decoder::Build(DecoderSpec spec, Scope& scope,
                                                  weights::Loader& loader, ModelInfo info) {
  if (spec.moe.experts > 0) BANYAN_RETURN_IF_ERROR(CheckMoe(spec.moe));
  std::unique_ptr<Decoder> decoder(new Decoder(std::move(spec), std::move(info)));
  decoder->Declare(scope, loader);
  BANYAN_RETURN_IF_ERROR(scope.status());
  BANYAN_RETURN_IF_ERROR(loader.Finish());
  ModelInfo& filled = decoder->info_;
  filled.vocab_size = decoder->spec_.vocab_size;
  filled.hidden_size = decoder->spec_.hidden_size;
  filled.num_layers = static_cast<int>(decoder->spec_.layers.size());
  filled.context_length = decoder->spec_.context_length;
  filled.compute = scope.compute();
  filled.num_parameters = scope.num_parameters();
  filled.weight_bytes = scope.weight_bytes();
  filled.looked_up_bytes = scope.looked_up_bytes();
  filled.expert_bytes = scope.expert_bytes();
  const MoeSpec& moe = decoder->spec_.moe;
  if (moe.experts > 0) filled.expert_share = static_cast<double>(moe.routing.top_k) / moe.experts;
  const int width =
      decoder->spec_.embedding_dim > 0 ? decoder->spec_.embedding_dim : decoder->spec_.hidden_size;
  const bool tied = loader.IsTied("output.weight") || loader.IsTied("embed.weight");
  filled.output_parameters = int64_t{decoder->spec_.vocab_size} * width;
  filled.row_parameters = filled.num_parameters - scope.table_parameters() -
                          (tied ? 0 : filled.output_parameters) -
                          static_cast<int64_t>((1.0 - filled.expert_share) *
                                               static_cast<double>(scope.expert_parameters()));
  filled.cache_groups = scope.cache_groups();
  filled.rope_lengths = LengthsOf(decoder->spec_.ropes);
  return decoder;
}

void Decoder::Declare(Scope& scope, weights::Loader& loader) {
  const int hidden = spec_.hidden_size;
  const int width = spec_.embedding_dim > 0 ? spec_.embedding_dim : hidden;
  if (spec_.round_embedding_scale)
    spec_.embedding_scale = RoundTo(scope.compute(), spec_.embedding_scale);
  if (spec_.tied) loader.Tie("embed.weight", "output.weight");

  embed_ = scope.AddTable("embed.weight", spec_.vocab_size, width, Axis::kVocab);
  if (spec_.learned_positions > 0)
    positions_ = scope.AddTable("position.weight", spec_.learned_positions, hidden, Axis::kNone);
  if (width != hidden)
    embed_in_ = scope.AddLinear({{"embed_in", hidden, Axis::kHidden}}, width, Axis::kNone, false);
  for (const RopeSpec& rope : spec_.ropes) ropes_.emplace_back(rope);
  for (std::size_t i = 0; i < spec_.layers.size() && scope.status().ok(); ++i)
    DeclareLayer(scope, static_cast<int>(i));
  if (spec_.final_norm)
    final_norm_.emplace(scope, "final_norm", spec_.norm, Shape{hidden}, Axis::kHidden);
  if (width != hidden)
    embed_out_ = scope.AddLinear({{"embed_out", width, Axis::kNone}}, hidden, Axis::kHidden, false);
  if (loader.IsTied("output.weight") || loader.IsTied("embed.weight")) {
    output_ = scope.AddLinear(embed_, spec_.output_bias ? "output.bias" : "");
  } else {
    output_ = scope.AddLinear({{"output", spec_.vocab_size, Axis::kVocab}}, width, Axis::kHidden,
                              spec_.output_bias);
  }
}

std::unique_ptr<Block> Decoder::DeclareMixer(Scope& scope, int index) const {
  const int hidden = spec_.hidden_size;
  const LayerSpec& spec = spec_.layers[index];
  const std::string layer = fmt::format("layers.{}.", index), name = layer + "mixer";
  switch (spec.mixer) {
    case Mixer::kNone:
      break;
    case Mixer::kAttention:
      return std::make_unique<Attention>(scope, layer + "attention", spec_.attention, spec, hidden,
                                         index);
    case Mixer::kLatent:
      return std::make_unique<Mla>(scope, layer + "attention", spec_.latent, spec, hidden, index);
    case Mixer::kShortConv:
      return std::make_unique<ShortConv>(scope, name, spec_.short_conv, hidden, index);
    case Mixer::kMamba:
      return std::make_unique<Mamba>(scope, name, spec_.mamba, hidden, index);
    case Mixer::kMamba2:
      return std::make_unique<Mamba2>(scope, name, spec_.mamba2, hidden, index);
    case Mixer::kGatedDelta:
      return std::make_unique<GatedDelta>(scope, name, spec_.gated_delta, hidden, index);
    case Mixer::kLightning:
      return std::make_unique<Lightning>(scope, name, spec_.lightning, hidden, index,
                                         static_cast<int>(spec_.layers.size()));
    case Mixer::kAttentionAndMamba2:
      return std::make_unique<MixerPair>(scope, layer, spec_, spec, index);
  }
  return nullptr;
}

void Decoder::DeclareLayer(Scope& scope, int index) {
  const int hidden = spec_.hidden_size;
  const LayerSpec& spec = spec_.layers[index];
  const std::string name = fmt::format("layers.{}.", index);
  Layer& layer = layers_.emplace_back();
  layer.mixer_scales = spec.mixer_scales, layer.mlp_scales = spec.mlp_scales;
  auto stream_norm = [&](bool wanted, std::string_view which, std::optional<Norm>& norm) {
    if (wanted)
      norm.emplace(scope, fmt::format("{}{}", name, which), spec_.norm, Shape{hidden},
                   Axis::kHidden);
  };
  auto residual = [&](bool wanted, std::string_view which, Vector& weight) {
    if (wanted && spec_.residual_weights)
      weight = scope.AddVector(fmt::format("{}{}_residual", name, which), {hidden}, Axis::kHidden);
  };
  const bool mixes = spec.mixer != Mixer::kNone;
  auto wanted = [&](bool before, bool behind) { return spec.norms_behind ? behind : before; };
  stream_norm(mixes && wanted(spec_.attention_norm, false), "attention_norm", layer.attention_norm);
  layer.mixer = DeclareMixer(scope, index);
  stream_norm(mixes && wanted(spec_.attention_post_norm, true), "attention_post_norm",
              layer.attention_post_norm);
  residual(mixes, "attention", layer.attention_residual);

  const bool feeds = spec.feed_forward != FeedForward::kNone;
  stream_norm(feeds && wanted(spec_.mlp_norm, false), "mlp_norm", layer.mlp_norm);
  switch (spec.feed_forward) {
    case FeedForward::kNone:
      break;
    case FeedForward::kDense:
      layer.feed_forward = std::make_unique<Mlp>(
          scope, name + "mlp", spec_.mlp, hidden,
          spec_.xielu.empty() ? std::nullopt : std::optional(spec_.xielu[index]));
      break;
    case FeedForward::kMoe:
      layer.feed_forward = std::make_unique<Moe>(scope, name + "mlp", spec_.moe, hidden);
      break;
    case FeedForward::kRetrieval:
      layer.feed_forward =
          std::make_unique<Retrieval>(scope, name + "mlp", spec_.mlp, spec_.retrieval, hidden);
      break;
  }
  stream_norm(feeds && wanted(spec_.mlp_post_norm, true), "mlp_post_norm", layer.mlp_post_norm);
  residual(feeds, "mlp", layer.mlp_residual);
}

}  // namespace banyan::nn
