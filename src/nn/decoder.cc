// SPDX-License-Identifier: Apache-2.0
#include "nn/decoder.h"

#include "ops/elementwise.h"
#include "ops/linear.h"

namespace banyan::nn {

// Temporaries of one forward pass, all rows of the step.
struct Decoder::Step {
  const ops::OpContext& context;
  const ForwardBatch& batch;
  std::vector<ops::AttentionPlan> plans;  // per cache group
  std::vector<RopeAngles> angles;         // per rope
  Tensor stream;                          // [n, hidden]: the residual stream
  Tensor delta;                           // [n, hidden]: what the last block adds to it,
  bool pending = false;                   // if it has not been added yet
  Tensor normed, other;                   // [n, hidden]
  Tensor qkv, attended;                   // [n, (heads + 2 kv_heads) * dim], [n, heads * dim]
  Tensor up, activated;                   // [n, intermediate], twice as wide where gated
  int64_t rows() const { return static_cast<int64_t>(batch.tokens.size()); }
};

Status Decoder::CheckBatch(const ForwardBatch& batch) const {
  BANYAN_CHECK(batch.positions.size() == batch.tokens.size() &&
                   batch.sequences.size() == info_.cache_groups.size() &&
                   batch.pools.size() == info_.cache_groups.size(),
               "a step of {} tokens, {} positions, {} groups", batch.tokens.size(),
               batch.positions.size(), batch.pools.size());
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
  Step step{.context = context, .batch = batch};
  for (std::size_t group = 0; group < batch.pools.size(); ++group)
    step.plans.push_back(
        ops::PlanAttention(context, batch.sequences[group], batch.pools[group].page_size));
  for (const Rope& rope : ropes_) step.angles.push_back(rope.Angles(context, batch.positions));

  const AttentionSpec& attention = spec_.attention;
  const MlpSpec& mlp = spec_.mlp;
  auto rows_of = [&](int64_t dim) { return context.scratch->Get(DType::kF32, {step.rows(), dim}); };
  step.stream = rows_of(spec_.hidden_size);
  step.delta = rows_of(spec_.hidden_size);
  step.normed = rows_of(spec_.hidden_size);
  if (spec_.residual == Residual::kParallel) step.other = rows_of(spec_.hidden_size);
  step.qkv = rows_of(int64_t{attention.heads + 2 * attention.kv_heads} * attention.head_dim);
  step.attended = rows_of(int64_t{attention.heads} * attention.head_dim);
  step.up = rows_of(int64_t{mlp.intermediate} * (mlp.gated ? 2 : 1));
  step.activated = rows_of(mlp.intermediate);

  Embed(step);
  for (int i = 0; i < static_cast<int>(layers_.size()); ++i) RunLayer(step, i);
  if (!batch.logit_rows.empty()) Logits(step, logits);
  return OkStatus();
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

void Decoder::RunLayer(Step& step, int index) const {
  const Layer& layer = layers_[index];
  const ops::OpContext& context = step.context;
  switch (spec_.residual) {
    case Residual::kSequential:
      Attention(step, index, AddAndNorm(step, layer.attention_norm), step.delta);
      Finish(step, layer.attention_post_norm, step.delta);
      step.pending = true;
      Mlp(step, layer, AddAndNorm(step, layer.mlp_norm), step.delta);
      Finish(step, layer.mlp_post_norm, step.delta);
      step.pending = true;
      break;
    case Residual::kParallel: {
      Tensor in = AddAndNorm(step, layer.attention_norm);
      Attention(step, index, in, step.delta);
      Finish(step, layer.attention_post_norm, step.delta);
      if (layer.mlp_norm) layer.mlp_norm->Forward(context, step.stream, in = step.normed);
      Mlp(step, layer, in, step.other);
      Finish(step, layer.mlp_post_norm, step.other);
      ops::Add(context, step.delta, step.other, step.delta);
      step.pending = true;
      break;
    }
    case Residual::kNormAfterAdd:
      Attention(step, index, step.stream, step.delta);
      ops::Add(context, step.stream, step.delta, step.stream);
      if (layer.attention_post_norm)
        layer.attention_post_norm->Forward(context, step.stream, step.stream);
      Mlp(step, layer, step.stream, step.delta);
      ops::Add(context, step.stream, step.delta, step.stream);
      if (layer.mlp_post_norm) layer.mlp_post_norm->Forward(context, step.stream, step.stream);
      break;
  }
}

void Decoder::Attention(Step& step, int index, const Tensor& in, const Tensor& out) const {
  const ops::OpContext& context = step.context;
  const AttentionSpec& spec = spec_.attention;
  const Layer& layer = layers_[index];
  const LayerSpec& layer_spec = spec_.layers[index];
  const int64_t q_dim = int64_t{spec.heads} * spec.head_dim;
  const int64_t kv_dim = int64_t{spec.kv_heads} * spec.head_dim;
  layer.qkv.Forward(context, in, step.qkv);
  if (spec.clip_qkv > 0.0f) ops::Clamp(context, step.qkv, -spec.clip_qkv, spec.clip_qkv, step.qkv);

  // [n, dim] slices of the rows, and the same by heads.
  const Tensor q_flat = step.qkv.Slice(1, 0, q_dim);
  const Tensor k_flat = step.qkv.Slice(1, q_dim, q_dim + kv_dim);
  auto by_heads = [&](const Tensor& x, int64_t heads) {
    return Tensor(x.raw(), x.dtype(), {step.rows(), heads, spec.head_dim},
                  {x.stride(0), spec.head_dim, 1});
  };
  const Tensor q = by_heads(q_flat, spec.heads), k = by_heads(k_flat, spec.kv_heads);
  const Tensor v = by_heads(step.qkv.Slice(1, q_dim + kv_dim, q_dim + 2 * kv_dim), spec.kv_heads);

  auto norms = [&] {
    if (!layer.q_norm) return;
    const bool whole = spec.qk_norm == AttentionSpec::QkNorm::kWhole;
    layer.q_norm->Forward(context, whole ? q_flat : q, whole ? q_flat : q);
    layer.k_norm->Forward(context, whole ? k_flat : k, whole ? k_flat : k);
  };
  if (!spec.qk_norm_after_rope) norms();
  if (layer_spec.rope >= 0)
    ropes_[layer_spec.rope].Apply(context, step.angles[layer_spec.rope], q, k);
  if (spec.qk_norm_after_rope) norms();

  const ops::AttentionPlan& plan = step.plans[layer.group];
  const ops::PagedKv& cache = step.batch.pools[layer.group].layers[index];
  ops::WriteKv(context, plan, k, v, cache);
  ops::AttentionParams params;
  params.scale = spec.scale * layer_spec.scale;
  params.softcap = spec.softcap;
  params.window = layer_spec.window;
  if (!alibi_slopes_.empty())
    params.alibi_slopes = Tensor(const_cast<float*>(alibi_slopes_.data()), DType::kF32,
                                 {static_cast<int64_t>(spec.heads)});
  ops::Attention(context, plan, params, q, cache, by_heads(step.attended, spec.heads));
  layer.output.Forward(context, step.attended, out);
}

void Decoder::Mlp(Step& step, const Layer& layer, const Tensor& in, const Tensor& out) const {
  const ops::OpContext& context = step.context;
  const MlpSpec& mlp = spec_.mlp;
  layer.up.Forward(context, in, step.up);
  if (mlp.gated) {
    ops::GatedActivate(context, mlp.activation, step.up, step.activated);
  } else if (mlp.activation == ops::Activation::kXielu) {
    const auto [alpha_p, alpha_n, beta, eps] = layer.xielu;
    ops::Xielu(context, step.up, alpha_p, alpha_n, beta, eps, step.activated);
  } else {
    ops::Activate(context, mlp.activation, step.up, step.activated);
  }
  layer.down.Forward(context, step.activated, out);
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
