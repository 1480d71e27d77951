// SPDX-License-Identifier: Apache-2.0
// Mixtures of experts: the choice of experts for each row, and the feed-forward networks of the
// chosen ones. Ids are [n, k] i32 and weights [n, k] f32, slot 0 the best choice.
//
// Order of reduction: a row's result is the sum over its slots in slot order, the shared expert
// last, each product as ops/linear.h says: it depends on that row alone, never on which other rows
// chose the same expert.
#pragma once

#include <vector>

#include "ops/context.h"
#include "ops/elementwise.h"
#include "tensor/packed_weight.h"

namespace banyan::ops {

// How logits become a choice.
struct Routing {
  enum class Score : unsigned char {
    kSoftmax,
    kSigmoid,
    // One choice after the other, each weighted by the softmax over those of the remaining logits
    // that are within 2 * jitter of the largest, relative to the larger magnitude of the two
    // (sparse mixer, Liu et al. 2024, as at inference).
    kSparseMixer,
  };
  // How experts are judged in groups, of which only `top_groups` are chosen from.
  enum class GroupScore : unsigned char { kMax, kTopTwoSum };

  int top_k = 1;
  Score score = Score::kSoftmax;
  bool normalize = false;    // the chosen weights are divided by their sum (before `scale`),
  float least_sum = 1e-20f;  // or by this where it is less,
  float added_sum = 0.0f;    // plus this
  float scale = 1.0f;
  int groups = 1;
  int top_groups = 1;
  GroupScore group_score = GroupScore::kMax;
  float jitter = 0.0f;  // of kSparseMixer
};

// logits: [n, experts] f32. correction: [experts] f32 or empty, added to the scores for choosing,
// not for weighting (not of kSparseMixer). Of equal scores the lower id wins; rows with NaN get
// valid ids and NaN weights.
void RouteExperts(const OpContext& context, const Tensor& logits, const Tensor& correction,
                  const Routing& routing, const Tensor& ids, const Tensor& weights);

// One matrix of every expert, all of one shape, format and layout.
struct ExpertMatrix {
  std::vector<PackedWeight> experts;
  std::vector<Buffer> owned;  // one block for all of them, where packing copies
  Tensor bias;                // [experts, rows] f32, or empty; not owned

  bool empty() const { return experts.empty(); }
  int64_t rows() const { return experts[0].rows; }
  int64_t cols() const { return experts[0].cols; }
};

// Packs matrices [rows, cols] as PackLinear does, each by itself. kUnimplemented where their types
// differ.
StatusOr<ExpertMatrix> PackExperts(const OpContext& context, std::span<const Tensor> experts,
                                   DType compute);

// Networks of one shape: down(act(gate(x)) * up(x)), or down(act(up(x))) without a gate.
struct ExpertMlp {
  ExpertMatrix gate;  // empty: not gated
  ExpertMatrix up, down;
  Activation activation = Activation::kSilu;
  float swiglu_limit = 0.0f;  // over 0: ClampedSwiglu in place of `activation`
  float swiglu_alpha = 1.702f;
};

struct ExpertsCall {
  Tensor x;                           // [n, cols] f32
  const ExpertMlp* routed = nullptr;  // or null
  Tensor ids, weights;                // of the routed
  bool scale_input = false;           // weights multiply the experts' input, not their output
  const ExpertMlp* shared = nullptr;  // one expert that all rows go through, or null
  Tensor shared_weights;              // [n] f32 contiguous, or empty: 1
  Tensor out;                         // [n, rows] f32, not x
};

// out = sum of weight * expert(x) over a row's slots, and the shared expert's.
void Experts(const OpContext& context, const ExpertsCall& call);

}  // namespace banyan::ops
