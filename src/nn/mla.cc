// SPDX-License-Identifier: Apache-2.0
#include "nn/mla.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/elementwise.h"
#include "ops/head_linear.h"
#include "ops/linear.h"
#include "ops/parallel.h"
#include "ops/rope.h"
#include "ops/sparse_index.h"

namespace banyan::nn {
namespace {

// Temporaries of the heads that are taken together.
constexpr int64_t kPassBytes = int64_t{64} << 20;
constexpr int kExpandedPage = 64;
// Heads that share one copy of a block of keys, at least.
constexpr int64_t kLeastGroup = 16;

}  // namespace

Mla::Mla(Scope& scope, const std::string& name, const LatentSpec& spec, const LayerSpec& layer,
         int hidden, int index)
    : spec_(spec), layer_(layer), index_number_(index) {
  const int64_t q_dim = int64_t{spec.heads} * (spec.nope_dim + spec.rope_dim);
  const LinearPart kv_a = {name + ".kv_a", spec.rank + spec.rope_dim, Axis::kNone};
  if (spec.q_rank > 0) {
    in_ = scope.AddLinear({{name + ".q_a", spec.q_rank, Axis::kNone}, kv_a}, hidden, Axis::kHidden,
                          spec.bias);
    q_norm_.emplace(scope, name + ".q_norm", spec.norm, Shape{spec.q_rank}, Axis::kNone);
    q_b_ = scope.AddLinear({{name + ".q_b", q_dim, Axis::kHeads}}, spec.q_rank, Axis::kNone, false);
  } else if (spec.bias) {  // of the latent alone
    in_ = scope.AddLinear({kv_a}, hidden, Axis::kHidden, true);
    q_b_ = scope.AddLinear({{name + ".q", q_dim, Axis::kHeads}}, hidden, Axis::kHidden, false);
  } else {
    in_ = scope.AddLinear({{name + ".q", q_dim, Axis::kHeads}, kv_a}, hidden, Axis::kHidden, false);
  }
  kv_norm_.emplace(scope, name + ".kv_norm", spec.norm, Shape{spec.rank}, Axis::kNone);
  heads_ = scope.AddLatentHeads(name, {spec.heads, spec.nope_dim, spec.value_dim, spec.rank},
                                spec.expand_rows > 0);
  output_ = scope.AddLinear({{name + ".output", hidden, Axis::kHidden}},
                            int64_t{spec.heads} * spec.value_dim, Axis::kHeads, spec.bias);
  const bool indexed = spec.index_top > 0 && layer.own_index;
  group_ = scope.AddLatent(index, spec.rank + spec.rope_dim, indexed ? spec.index_dim : 0);
  if (!indexed) return;
  index_.emplace();
  index_->q = scope.AddLinear({{name + ".index.q", spec.index_heads * spec.index_dim, Axis::kNone}},
                              spec.q_rank, Axis::kNone, false);
  index_->k = scope.AddLinear({{name + ".index.k", spec.index_dim, Axis::kNone}}, hidden,
                              Axis::kHidden, false);
  index_->weights =
      scope.AddRouter({name + ".index.weights", spec.index_heads, Axis::kNone}, hidden, false);
  index_->k_norm.emplace(scope, name + ".index.k_norm",
                         NormSpec{.kind = NormSpec::Kind::kLayer, .eps = 1e-6f, .bias = true},
                         Shape{spec.index_dim}, Axis::kNone);
}

void Mla::Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const {
  const ops::OpContext& context = step.context;
  const ops::ScratchScope scope(context.scratch);
  const int64_t width = spec_.rank + spec_.rope_dim;
  const Tensor both = context.scratch->Get(DType::kF32, {step.rows(), in_.rows()});
  in_.Forward(context, in, both);
  Tensor q_latent = both.Slice(1, 0, in_.rows() - width);
  const Tensor row = both.Slice(1, in_.rows() - width, in_.rows());
  Tensor q = q_latent;
  if (spec_.q_rank > 0) q_norm_->Forward(context, q_latent, q_latent);
  if (!q_b_.empty()) {
    q = context.scratch->Get(DType::kF32, {step.rows(), q_b_.rows()});
    q_b_.Forward(context, spec_.q_rank > 0 ? q_latent : in, q);
  }
  const Tensor latent = row.Slice(1, 0, spec_.rank);
  kv_norm_->Forward(context, latent, latent);

  const Tensor q_heads = ByHeads(q, spec_.heads), row_heads = ByHeads(row, 1);
  const RopeAngles& angles = step.angles[layer_.rope];
  const ops::RopePairing pairing = step.ropes[layer_.rope].spec().pairing;
  ops::Rope(context, q_heads.Slice(2, spec_.nope_dim, q_heads.dim(2)), angles.cos, angles.sin,
            pairing);
  ops::Rope(context, row_heads.Slice(2, spec_.rank, width), angles.cos, angles.sin, pairing);
  if (!angles.query_scale.empty()) ops::ScaleRows(context, q, angles.query_scale, q);

  const CachePool& pool = step.batch.pools[group_];
  ops::WritePages(context, step.plans[group_], row_heads, pool.layers[index_number_].latent);
  if (index_) {
    WriteIndex(step, in);
    Choose(step, in, q_latent);
  }
  const Tensor attended =
      context.scratch->Get(DType::kF32, {step.rows(), int64_t{spec_.heads} * spec_.value_dim});
  Attend(step, q_heads, ByHeads(attended, spec_.heads));
  output_.Forward(context, attended, out);
}

void Mla::WriteIndex(const StepInputs& step, const Tensor& in) const {
  const ops::OpContext& context = step.context;
  const ops::ScratchScope scope(context.scratch);
  const RopeAngles& angles = step.angles[layer_.rope];
  const Tensor k = context.scratch->Get(DType::kF32, {step.rows(), int64_t{spec_.index_dim}});
  index_->k.Forward(context, in, k);
  index_->k_norm->Forward(context, k, k);
  ops::Rope(context, ByHeads(k, 1), angles.cos, angles.sin, spec_.index_pairing);
  ops::WritePages(context, step.plans[group_], ByHeads(k, 1),
                  step.batch.pools[group_].layers[index_number_].index);
}

// Whether any query of the step sees more than it may choose. Where none does, all attend to all:
// the same bits as if each chose everything.
bool Mla::Chooses(const StepInputs& step) const {
  return spec_.index_top > 0 &&
         std::ranges::any_of(step.batch.sequences[group_], [&](const ops::AttentionSequence& s) {
           return s.kv_len > spec_.index_top;
         });
}

void Mla::Choose(const StepInputs& step, const Tensor& in, const Tensor& q_latent) const {
  if (!Chooses(step)) return;
  const ops::OpContext& context = step.context;
  const ops::ScratchScope scope(context.scratch);
  const RopeAngles& angles = step.angles[layer_.rope];
  const Tensor q = context.scratch->Get(
      DType::kF32, {step.rows(), int64_t{spec_.index_heads} * spec_.index_dim});
  index_->q.Forward(context, q_latent, q);
  ops::Rope(context, ByHeads(q, spec_.index_heads), angles.cos, angles.sin, spec_.index_pairing);
  const Tensor weights =
      context.scratch->Get(DType::kF32, {step.rows(), int64_t{spec_.index_heads}});
  index_->weights.Forward(context, in, weights);
  ops::Scale(context, weights, 1.0f / std::sqrt(static_cast<float>(spec_.index_heads)), weights);
  ops::ChoosePositions(context, step.plans[group_],
                       {.q = ByHeads(q, spec_.index_heads),
                        .weights = weights,
                        .scale = 1.0f / std::sqrt(static_cast<float>(spec_.index_dim)),
                        .keys = step.batch.pools[group_].layers[index_number_].index,
                        .most = spec_.index_top},
                       step.chosen);
}

void Mla::Attend(const StepInputs& step, const Tensor& q, const Tensor& out) const {
  const ops::OpContext& context = step.context;
  const std::span<const ops::AttentionSequence> sequences = step.batch.sequences[group_];
  const CachePool& pool = step.batch.pools[group_];
  const Tensor& latent = pool.layers[index_number_].latent;
  ops::AttentionParams params;
  params.scale = spec_.scale * layer_.scale;
  if (Chooses(step)) {
    params.chosen = step.chosen;
    const ops::AttentionPlan plan =
        ops::PlanAttention(context, sequences, pool.page_size, spec_.index_top);
    return Absorbed(context, plan, params, q, latent, out);
  }
  const auto expands = [&](const ops::AttentionSequence& s) {
    return spec_.expand_rows > 0 && s.q_len >= spec_.expand_rows;
  };
  if (std::ranges::none_of(sequences, expands))
    return Absorbed(context, step.plans[group_], params, q, latent, out);
  // Runs of sequences that do not, whose rows follow each other.
  for (std::size_t i = 0; i < sequences.size();) {
    if (expands(sequences[i])) {
      Expanded(context, params, sequences[i++], pool.page_size, q, latent, out);
      continue;
    }
    std::vector<ops::AttentionSequence> run;
    const int32_t first = sequences[i].q_begin;
    int32_t end = first;
    for (; i < sequences.size() && !expands(sequences[i]); ++i) {
      run.push_back(sequences[i]);
      run.back().q_begin -= first;
      end = sequences[i].q_begin + sequences[i].q_len;
    }
    Absorbed(context, ops::PlanAttention(context, run, pool.page_size), params,
             q.Slice(0, first, end), latent, out.Slice(0, first, end));
  }
}

void Mla::Absorbed(const ops::OpContext& context, const ops::AttentionPlan& plan,
                   const ops::AttentionParams& params, const Tensor& q, const Tensor& latent,
                   const Tensor& out) const {
  const int64_t n = q.dim(0), heads = spec_.heads;
  const int64_t width = spec_.rank + spec_.rope_dim;
  const int64_t head_bytes = n * (width + spec_.rank) * static_cast<int64_t>(sizeof(float));
  const int64_t most = std::clamp<int64_t>(kPassBytes / std::max<int64_t>(head_bytes, 1), 1, heads);
  for (int64_t first = 0; first < heads; first += most) {
    const ops::ScratchScope scope(context.scratch);
    const int64_t count = std::min(most, heads - first);
    const Tensor mine = q.Slice(1, first, first + count);
    const Tensor query = context.scratch->Get(DType::kF32, {n, count, width});
    const Tensor gathered = context.scratch->Get(DType::kF32, {n, count, int64_t{spec_.rank}});
    ops::HeadLinear(context, mine.Slice(2, 0, spec_.nope_dim), heads_.keys.matrix, first,
                    query.Slice(2, 0, spec_.rank));
    ops::Scale(context, mine.Slice(2, spec_.nope_dim, mine.dim(2)), 1.0f,
               query.Slice(2, spec_.rank, width));
    // With little to do the heads are shared out over the threads, as if groups of them had keys
    // of their own.
    int64_t groups = 1;
    while (static_cast<int64_t>(plan.work.size()) * groups < 2 * ops::Threads(context) &&
           count % (2 * groups) == 0 && count / (2 * groups) >= kLeastGroup)
      groups *= 2;
    const Tensor keys(latent.raw(), latent.dtype(), {latent.dim(0), latent.dim(1), groups, width},
                      {latent.stride(0), latent.stride(1), 0, 1});
    ops::Attention(context, plan, params, query, {keys, keys.Slice(3, 0, spec_.rank)}, gathered);
    ops::HeadLinear(context, gathered, heads_.values.matrix, first,
                    out.Slice(1, first, first + count));
  }
}

void Mla::Expanded(const ops::OpContext& context, const ops::AttentionParams& params,
                   const ops::AttentionSequence& sequence, int page_size, const Tensor& q,
                   const Tensor& latent, const Tensor& out) const {
  const ops::ScratchScope scope(context.scratch);
  const int64_t n = sequence.kv_len, width = latent.dim(3), head_dim = q.dim(2);
  // The sequence's rows, one after the other.
  std::vector<int32_t> slots;
  for (int64_t i = 0; i < n; ++i)
    slots.push_back(static_cast<int32_t>(
        int64_t{sequence.pages[static_cast<std::size_t>(i / page_size)]} * page_size +
        i % page_size));
  const Tensor rows = context.scratch->Get(DType::kF32, {n, width});
  ops::EmbeddingLookup(context, slots, latent.Reshape({latent.dim(0) * latent.dim(1), width}),
                       rows);
  const Tensor inner = rows.Slice(1, 0, spec_.rank);

  std::vector<PageId> pages(static_cast<std::size_t>((n + kExpandedPage - 1) / kExpandedPage));
  std::iota(pages.begin(), pages.end(), 0);
  const auto slices = static_cast<int64_t>(pages.size());
  const ops::AttentionSequence own{0, sequence.q_len, sequence.kv_len, pages};
  const ops::AttentionPlan plan = ops::PlanAttention(context, {&own, 1}, kExpandedPage);
  const int64_t begin = sequence.q_begin, end = begin + sequence.q_len;
  const int64_t most = std::clamp<int64_t>(
      kPassBytes / (n * (head_dim + spec_.value_dim) * static_cast<int64_t>(sizeof(float))), 1,
      spec_.heads);
  for (int64_t first = 0; first < spec_.heads; first += most) {
    const ops::ScratchScope pass(context.scratch);
    const int64_t count = std::min(most, spec_.heads - first);
    const auto pool = [&](int64_t dim) {
      return context.scratch->Get(DType::kF32, {slices, kExpandedPage, count, dim});
    };
    const ops::PagedKv cache{pool(head_dim), pool(spec_.value_dim)};
    const auto head = [&](const Tensor& all, int64_t h, int64_t from, int64_t to) {
      const int64_t dim = all.dim(3);
      return Tensor(all.data<float>() + h * dim + from, DType::kF32, {n, to - from},
                    {count * dim, 1});
    };
    for (int64_t h = 0; h < count; ++h) {
      ops::Linear(context, inner, heads_.expand.matrix.experts[first + h], Tensor(),
                  head(cache.keys, h, 0, spec_.nope_dim));
      ops::Scale(context, rows.Slice(1, spec_.rank, width), 1.0f,
                 head(cache.keys, h, spec_.nope_dim, head_dim));
      ops::Linear(context, inner, heads_.values.matrix.experts[first + h], Tensor(),
                  head(cache.values, h, 0, spec_.value_dim));
    }
    ops::Attention(context, plan, params, q.Slice(0, begin, end).Slice(1, first, first + count),
                   cache, out.Slice(0, begin, end).Slice(1, first, first + count));
  }
}

}  // namespace banyan::nn
