// SPDX-License-Identifier: Apache-2.0
#include "nn/decoder.h"

#include "ops/elementwise.h"
#include "ops/linear.h"

namespace banyan::nn {
namespace {

// Places of a pass: 0 is before the layers, then each layer's mixer and its feed-forward network,
// and what comes behind them.
void At(const ops::OpContext& context, std::size_t place) {
  if (context.place != nullptr)
    context.place->store(static_cast<int32_t>(place), std::memory_order_relaxed);
}

const char* NameOf(Mixer mixer) {
  switch (mixer) {
    case Mixer::kNone:
      return "norm";
    case Mixer::kAttention:
    case Mixer::kLatent:
      return "attention";
    case Mixer::kShortConv:
      return "convolution";
    case Mixer::kMamba:
    case Mixer::kMamba2:
      return "mamba";
    case Mixer::kGatedDelta:
      return "gated delta";
    case Mixer::kLightning:
      return "lightning attention";
    case Mixer::kAttentionAndMamba2:
      return "attention and mamba";
  }
  return "mixer";
}

const char* NameOf(FeedForward feed_forward) {
  return feed_forward == FeedForward::kMoe || feed_forward == FeedForward::kRetrieval ? "experts"
                                                                                      : "mlp";
}

}  // namespace

// One forward pass: its inputs, and the stream, all rows of the step.
struct Decoder::Step : StepInputs {
  Tensor stream;         // [n, hidden]: the residual stream
  Tensor delta;          // [n, hidden]: what the last block adds to it,
  bool pending = false;  // if it has not been added yet
  Tensor normed, other;  // [n, hidden]
};

Status Decoder::CheckBatch(const ForwardBatch& batch) const {
  BANYAN_CHECK(
      batch.positions.size() == batch.tokens.size() &&
          (batch.rope_lengths.empty() || batch.rope_lengths.size() == batch.tokens.size()) &&
          batch.sequences.size() == info_.cache_groups.size() &&
          batch.states.size() == info_.cache_groups.size() &&
          batch.pools.size() == info_.cache_groups.size(),
      "a step of {} tokens, {} positions, {} groups", batch.tokens.size(), batch.positions.size(),
      batch.pools.size());
  for (TokenId token : batch.tokens)
    if (token < 0 || token >= spec_.vocab_size)
      return InvalidArgument("token id {} is not in the vocabulary of {}", token, spec_.vocab_size);
  if (spec_.learned_positions > 0)
    for (int32_t position : batch.positions)
      if (position < 0 || position + spec_.position_offset >= spec_.learned_positions)
        return InvalidArgument("position {} is beyond the model's {}", position,
                               spec_.learned_positions - spec_.position_offset);
  return OkStatus();
}

Status Decoder::Forward(const ops::OpContext& context, const ForwardBatch& batch,
                        const Tensor& logits) {
  BANYAN_RETURN_IF_ERROR(CheckBatch(batch));
  context.scratch->Reset();
  At(context, 0);
  Step step{{.context = context, .batch = batch, .ropes = ropes_}};
  for (std::size_t group = 0; group < batch.pools.size(); ++group)
    step.plans.push_back(
        info_.cache_groups[group].type == CacheKindType::kState
            ? ops::AttentionPlan()
            : ops::PlanAttention(context, batch.sequences[group], batch.pools[group].page_size));
  for (const Rope& rope : ropes_)
    step.angles.push_back(rope.Angles(context, batch.positions, batch.rope_lengths));
  if (spec_.latent.index_top > 0) {
    // An index that may choose more than there is chooses all.
    int64_t longest = 1;
    for (const auto& group : batch.sequences)
      for (const ops::AttentionSequence& sequence : group)
        longest = std::max<int64_t>(longest, sequence.kv_len);
    const int64_t most = std::min<int64_t>(spec_.latent.index_top, longest);
    step.chosen = {context.scratch->Get(DType::kI32, {step.rows(), most}),
                   context.scratch->Get(DType::kI32, {step.rows()})};
  }
  auto stream = [&] {
    return context.scratch->Get(DType::kF32, {step.rows(), int64_t{spec_.hidden_size}});
  };
  step.stream = stream(), step.delta = stream(), step.normed = stream();
  if (spec_.residual == Residual::kParallel) step.other = stream();

  Embed(step);
  for (std::size_t i = 0; i < layers_.size(); ++i) RunLayer(step, i);
  At(context, 2 * layers_.size() + 1);
  if (!batch.logit_rows.empty()) Logits(step, logits);
  return OkStatus();
}

std::string Decoder::PlaceName(int32_t place) const {
  if (place <= 0) return "embedding";
  const auto layer = static_cast<std::size_t>(place - 1) / 2;
  if (layer >= spec_.layers.size()) return "logits";
  const LayerSpec& spec = spec_.layers[layer];
  return fmt::format("layer {} {}", layer,
                     place % 2 == 1 ? NameOf(spec.mixer) : NameOf(spec.feed_forward));
}

void Decoder::Embed(Step& step) const {
  const ops::OpContext& context = step.context;
  if (embed_in_.empty()) {
    ops::EmbeddingLookup(context, step.batch.tokens, embed_.tensor, step.stream);
  } else {
    const Tensor narrow =
        context.scratch->Get(DType::kF32, {step.rows(), int64_t{spec_.embedding_dim}});
    ops::EmbeddingLookup(context, step.batch.tokens, embed_.tensor, narrow);
    embed_in_.Forward(context, narrow, step.stream);
  }
  if (spec_.embedding_scale != 1.0f)
    ops::Scale(context, step.stream, spec_.embedding_scale, step.stream);
  if (spec_.learned_positions > 0) {
    std::vector<int32_t> rows(step.batch.positions.begin(), step.batch.positions.end());
    for (int32_t& row : rows) row += spec_.position_offset;
    ops::EmbeddingLookup(context, rows, positions_.tensor, step.normed);
    ops::Add(context, step.stream, step.normed, step.stream);
  }
}

Tensor Decoder::AddAndNorm(Step& step, const std::optional<Norm>& norm) const {
  const bool pending = std::exchange(step.pending, false);
  if (!norm) {
    if (pending) ops::Add(step.context, step.stream, step.delta, step.stream);
    return step.stream;
  }
  if (pending) {
    norm->AddForward(step.context, step.delta, step.stream, step.normed);
  } else {
    norm->Forward(step.context, step.stream, step.normed);
  }
  return step.normed;
}

// A block's output before it is added: its own norm, its scale.
void Decoder::Finish(Step& step, const std::optional<Norm>& post_norm, const Tensor& delta) const {
  if (post_norm) post_norm->Forward(step.context, delta, delta);
  if (spec_.residual_scale != 1.0f) ops::Scale(step.context, delta, spec_.residual_scale, delta);
}

void Decoder::RunLayer(Step& step, std::size_t index) const {
  const ops::OpContext& context = step.context;
  const Layer& layer = layers_[index];
  const std::size_t mixing = 2 * index + 1, feeding = mixing + 1;
  switch (spec_.residual) {
    case Residual::kSequential: {
      auto run = [&](std::size_t place, const Block* block, const std::optional<Norm>& norm,
                     const std::optional<Norm>& post_norm, const Tensor& weight) {
        if (block == nullptr) return;
        At(context, place);
        block->Forward(step, AddAndNorm(step, norm), step.delta);
        Finish(step, post_norm, step.delta);
        if (!weight.empty())
          ops::Mul(context, step.stream,
                   Tensor(weight.raw(), DType::kF32, step.stream.shape(), {0, 1}), step.stream);
        step.pending = true;
      };
      run(mixing, layer.mixer.get(), layer.attention_norm, layer.attention_post_norm,
          layer.attention_residual.tensor);
      run(feeding, layer.feed_forward.get(), layer.mlp_norm, layer.mlp_post_norm,
          layer.mlp_residual.tensor);
      break;
    }
    case Residual::kParallel: {
      At(context, mixing);
      Tensor in = AddAndNorm(step, layer.attention_norm);
      layer.mixer->Forward(step, in, step.delta);
      Finish(step, layer.attention_post_norm, step.delta);
      At(context, feeding);
      if (layer.mlp_norm) layer.mlp_norm->Forward(context, step.stream, in = step.normed);
      layer.feed_forward->Forward(step, in, step.other);
      Finish(step, layer.mlp_post_norm, step.other);
      ops::Add(context, step.delta, step.other, step.delta);
      step.pending = true;
      break;
    }
    case Residual::kNormAfterAdd: {
      auto run = [&](std::size_t place, const Block& block, const std::optional<Norm>& post_norm) {
        At(context, place);
        block.Forward(step, step.stream, step.delta);
        ops::Add(context, step.stream, step.delta, step.stream);
        if (post_norm) post_norm->Forward(context, step.stream, step.stream);
      };
      run(mixing, *layer.mixer, layer.attention_post_norm);
      run(feeding, *layer.feed_forward, layer.mlp_post_norm);
      break;
    }
    case Residual::kFromNorm: {
      auto run = [&](std::size_t place, const Block& block, const std::optional<Norm>& norm,
                     StreamScales scales) {
        At(context, place);
        const Tensor in = AddAndNorm(step, norm);
        block.Forward(step, in, step.delta);
        ops::Scale(context, in, scales.alpha, step.stream);
        if (scales.beta != 1.0f) ops::Scale(context, step.delta, scales.beta, step.delta);
        step.pending = true;
      };
      run(mixing, *layer.mixer, layer.attention_norm, layer.mixer_scales);
      run(feeding, *layer.feed_forward, layer.mlp_norm, layer.mlp_scales);
      break;
    }
  }
}

// Only the rows whose logits are wanted go through the last norm and the output matrix.
void Decoder::Logits(Step& step, const Tensor& logits) const {
  const ops::OpContext& context = step.context;
  const std::span<const int32_t> rows = step.batch.logit_rows;
  auto gather = [&](const Tensor& from) {
    const Tensor to =
        context.scratch->Get(DType::kF32, {static_cast<int64_t>(rows.size()), from.dim(1)});
    ops::GatherRows(context, from, rows, to);
    return to;
  };
  step.stream = gather(step.stream);
  if (step.pending) step.delta = gather(step.delta);
  step.normed = context.scratch->Get(DType::kF32, step.stream.shape());
  Tensor last = AddAndNorm(step, final_norm_);
  if (!embed_out_.empty()) {
    const Tensor narrow =
        context.scratch->Get(DType::kF32, {last.dim(0), int64_t{spec_.embedding_dim}});
    embed_out_.Forward(context, last, narrow);
    last = narrow;
  }
  output_.Forward(context, last, logits);
  if (spec_.logit_scale != 1.0f) ops::Scale(context, logits, spec_.logit_scale, logits);
  if (spec_.logit_softcap != 0.0f) ops::Softcap(context, logits, spec_.logit_softcap, logits);
}

}  // namespace banyan::nn
