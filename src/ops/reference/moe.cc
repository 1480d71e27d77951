// SPDX-License-Identifier: Apache-2.0
#include "ops/reference/moe.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ops/linear.h"
#include "ops/parallel.h"

namespace banyan::ops {
namespace reference {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

void Softmax(const float* logits, int64_t n, float* scores) {
  const float largest = *std::max_element(logits, logits + n);
  float sum = 0.0f;
  for (int64_t i = 0; i < n; ++i) sum += scores[i] = std::exp(logits[i] - largest);
  for (int64_t i = 0; i < n; ++i) scores[i] /= sum;
}

// The k largest in order, of equals the first. NaN is taken for the least.
void TopK(const float* values, int64_t n, int k, int32_t* ids) {
  const auto value = [values](int32_t i) { return std::isnan(values[i]) ? kNever : values[i]; };
  int count = 0;
  for (int32_t i = 0; i < n; ++i) {
    if (count == k && !(value(i) > value(ids[k - 1]))) continue;
    int at = count < k ? count++ : k - 1;
    for (; at > 0 && value(i) > value(ids[at - 1]); --at) ids[at] = ids[at - 1];
    ids[at] = i;
  }
}

// Sets the scores outside the best groups to -infinity.
void KeepTopGroups(const Routing& routing, float* scores, int64_t experts) {
  constexpr int kMaxGroups = 256;
  BANYAN_CHECK(routing.groups <= kMaxGroups, "{} groups of experts", routing.groups);
  float group_scores[kMaxGroups];
  int32_t best[kMaxGroups];
  const int64_t size = experts / routing.groups;
  for (int g = 0; g < routing.groups; ++g) {
    float first = kNever, second = kNever;
    for (const float* score = scores + g * size; score < scores + (g + 1) * size; ++score) {
      second = std::max(second, std::min(first, *score));
      first = std::max(first, *score);
    }
    const bool two = routing.group_score == Routing::GroupScore::kTopTwoSum;
    group_scores[g] = two && size > 1 ? first + second : first;
  }
  TopK(group_scores, routing.groups, routing.top_groups, best);
  for (int g = 0; g < routing.groups; ++g)
    if (std::find(best, best + routing.top_groups, g) == best + routing.top_groups)
      std::fill_n(scores + g * size, size, kNever);
}

void SparseMixer(const Routing& routing, const float* logits, int64_t experts, float* left,
                 int32_t* ids, float* weights) {
  std::copy_n(logits, experts, left);
  for (int slot = 0; slot < routing.top_k; ++slot) {
    TopK(left, experts, 1, ids + slot);
    const float largest = left[ids[slot]];
    float sum = 0.0f;
    for (int64_t i = 0; i < experts; ++i) {
      const float factor = std::max(std::fabs(logits[i]), largest);
      const bool far = (largest - logits[i]) / factor > 2 * routing.jitter;
      if (!far) sum += std::exp(left[i] - largest);
    }
    weights[slot] = 1.0f / sum;
    left[ids[slot]] = kNever;
  }
}

void Route(const Routing& routing, const float* logits, int64_t experts, const float* correction,
           float* scores, int32_t* ids, float* weights) {
  const int k = routing.top_k;
  if (routing.score == Routing::Score::kSparseMixer) {
    SparseMixer(routing, logits, experts, scores, ids, weights);
  } else {
    if (routing.score == Routing::Score::kSoftmax) {
      Softmax(logits, experts, scores);
    } else {
      for (int64_t i = 0; i < experts; ++i) scores[i] = 1.0f / (1.0f + std::exp(-logits[i]));
    }
    float* choice = scores + experts;
    for (int64_t i = 0; i < experts; ++i)
      choice[i] = correction == nullptr ? scores[i] : scores[i] + correction[i];
    if (routing.top_groups < routing.groups) KeepTopGroups(routing, choice, experts);
    TopK(choice, experts, k, ids);
    for (int slot = 0; slot < k; ++slot) weights[slot] = scores[ids[slot]];
  }
  float factor = routing.scale;
  if (routing.normalize) {
    float sum = 0.0f;
    for (int slot = 0; slot < k; ++slot) sum += weights[slot];
    for (int slot = 0; slot < k; ++slot)
      weights[slot] /= std::max(sum, routing.least_sum) + routing.added_sum;
  }
  // A NaN among the logits may stand where nobody chose it.
  if (std::any_of(logits, logits + experts, [](float x) { return std::isnan(x); }))
    factor = std::numeric_limits<float>::quiet_NaN();
  for (int slot = 0; slot < k; ++slot) weights[slot] *= factor;
}

StatusOr<ExpertMatrix> Pack(const OpContext& context, std::span<const Tensor> experts,
                            DType compute) {
  ExpertMatrix matrix;
  for (const Tensor& expert : experts) {
    BANYAN_ASSIGN_OR_RETURN(PackedWeight weight, PackLinear(context, {&expert, 1}, compute));
    matrix.experts.push_back(std::move(weight));
  }
  return matrix;
}

Tensor BiasOf(const ExpertMatrix& matrix, int64_t expert) {
  return matrix.bias.empty() ? Tensor() : matrix.bias.Row(expert);
}

// One expert on rows x [n, cols].
void RunExpert(const OpContext& context, const ExpertMlp& mlp, int32_t expert, const Tensor& x,
               const Tensor& out) {
  const ScratchScope scope(context.scratch);
  const int64_t n = x.dim(0), hidden = mlp.up.rows();
  const bool gated = !mlp.gate.empty();
  const Tensor up = context.scratch->Get(DType::kF32, {n, gated ? 2 * hidden : hidden});
  const Tensor active = context.scratch->Get(DType::kF32, {n, hidden});
  if (gated)
    Linear(context, x, mlp.gate.experts[expert], BiasOf(mlp.gate, expert), up.Slice(1, 0, hidden));
  Linear(context, x, mlp.up.experts[expert], BiasOf(mlp.up, expert),
         up.Slice(1, up.dim(1) - hidden, up.dim(1)));
  ActivateExpert(*context.table, mlp, up.data<float>(), active.data<float>(), 0, n);
  Linear(context, active, mlp.down.experts[expert], BiasOf(mlp.down, expert), out);
}

void Run(const OpContext& context, const ExpertsCall& call) {
  const int64_t n = call.x.dim(0), dim = call.out.dim(1);
  const int64_t k = call.routed == nullptr ? 0 : call.ids.dim(1);
  const auto rows_of = [&](int64_t rows, int64_t cols) {
    return context.scratch->Get(DType::kF32, {rows, cols});
  };
  ExpertRows grouped;
  Tensor results = rows_of(n * k, dim);
  if (k > 0) {
    grouped = GroupByExpert({call.ids.data<int32_t>(), static_cast<std::size_t>(n * k)}, k,
                            static_cast<int64_t>(call.routed->up.experts.size()));
    const Tensor gathered = rows_of(n * k, call.x.dim(1));
    GatherRows(context, call.x, grouped.row, gathered);
    if (call.scale_input) {
      std::vector<float> factors(grouped.row.size());
      for (std::size_t i = 0; i < grouped.pair.size(); ++i)
        factors[grouped.pair[i]] = call.weights.data<float>()[i];
      ScaleRows(context, gathered, factors, gathered);
    }
    for (const auto& [expert, begin, count] : grouped.segments)
      RunExpert(context, *call.routed, expert, gathered.Slice(0, begin, begin + count),
                results.Slice(0, begin, begin + count));
  }
  Tensor shared;
  if (call.shared != nullptr) {
    shared = rows_of(n, dim);
    RunExpert(context, *call.shared, 0, call.x, shared);
  }
  CombineSlots(context, call, grouped.pair, results.data<float>(), shared.data<float>());
}

void Combine(const float* const* rows, const float* weights, int64_t slots, int64_t dim,
             float* out) {
  for (int64_t i = 0; i < dim; ++i) {
    float sum = 0.0f;
    for (int64_t s = 0; s < slots; ++s) sum = std::fmaf(weights[s], rows[s][i], sum);
    out[i] = sum;
  }
}

}  // namespace

ExpertRows GroupByExpert(std::span<const int32_t> ids, int64_t k, int64_t experts) {
  ExpertRows grouped;
  std::vector<int64_t> next(static_cast<std::size_t>(experts) + 1, 0);
  for (int32_t id : ids) ++next[id + 1];
  for (int32_t e = 0; e < experts; ++e) {
    if (next[e + 1] > 0) grouped.segments.push_back({e, next[e], next[e + 1]});
    next[e + 1] += next[e];
  }
  grouped.row.resize(ids.size());
  grouped.pair.resize(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const auto pair = static_cast<int32_t>(next[ids[i]]++);
    grouped.pair[i] = pair;
    grouped.row[pair] = static_cast<int32_t>(static_cast<int64_t>(i) / k);
  }
  return grouped;
}

void ActivateExpert(const OpTable& table, const ExpertMlp& mlp, float* up, float* out,
                    int64_t begin, int64_t end) {
  const int64_t dim = mlp.up.rows();
  const bool gated = !mlp.gate.empty();
  const int64_t stride = gated ? 2 * dim : dim;
  const Rows from = {up, end, 1, stride, 0, dim};
  const Rows to = {out, end, 1, dim, 0, dim};
  if (!gated) return table.elementwise.activate(mlp.activation, from, to, begin, end);
  const Rows second = {up + dim, end, 1, stride, 0, dim};
  if (mlp.swiglu_limit > 0.0f) {
    table.elementwise.clamped_swiglu(from, second, mlp.swiglu_alpha, mlp.swiglu_limit, to, begin,
                                     end);
  } else {
    table.elementwise.gated(mlp.activation, from, second, to, begin, end);
  }
}

void CombineSlots(const OpContext& context, const ExpertsCall& call, std::span<const int32_t> pair,
                  const float* results, const float* shared) {
  const int64_t n = call.x.dim(0), dim = call.out.dim(1);
  const int64_t k = call.routed == nullptr ? 0 : call.ids.dim(1);
  const int64_t slots = k + (shared == nullptr ? 0 : 1);
  const auto bytes = static_cast<std::size_t>(n * slots) * sizeof(float*);
  auto** rows = reinterpret_cast<const float**>(context.scratch->GetBytes(bytes));
  auto* weights = context.scratch->Get(DType::kF32, {n, slots}).data<float>();
  ParallelItems(
      context, n, 0.2 * static_cast<double>(slots * dim), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const float** row = rows + i * slots;
          float* weight = weights + i * slots;
          for (int64_t s = 0; s < k; ++s) {
            row[s] = results + pair[i * k + s] * dim;
            weight[s] = call.scale_input ? 1.0f : call.weights.data<float>()[i * k + s];
          }
          if (shared != nullptr) {
            row[k] = shared + i * dim;
            weight[k] = call.shared_weights.empty() ? 1.0f : call.shared_weights.data<float>()[i];
          }
          context.table->moe.combine(row, weight, slots, dim,
                                     call.out.data<float>() + i * call.out.stride(0));
        }
      });
}

}  // namespace reference

void FillMoeReference(OpTable& table) {
  table.moe = {reference::Route, reference::Pack, reference::Run, reference::Combine};
}

}  // namespace banyan::ops
