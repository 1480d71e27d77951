// SPDX-License-Identifier: Apache-2.0
#include "ops/moe.h"

#include "ops/parallel.h"

namespace banyan::ops {
namespace {

// A row's pass over its logits, per expert.
constexpr double kRouteNanoseconds = 8.0;

void CheckChoice(const Tensor& ids, const Tensor& weights, int64_t n) {
  BANYAN_DCHECK(ids.dtype() == DType::kI32 && weights.dtype() == DType::kF32 &&
                    ids.IsContiguous() && weights.IsContiguous() &&
                    ids.shape() == weights.shape() && ids.rank() == 2 && ids.dim(0) == n,
                "choices {} {} and {} {} of {} rows", Name(ids.dtype()), ids.shape().ToString(),
                Name(weights.dtype()), weights.shape().ToString(), n);
}

void CheckMlp(const ExpertsCall& call, const ExpertMlp& mlp) {
  BANYAN_DCHECK(mlp.up.cols() == call.x.dim(1) && mlp.down.cols() == mlp.up.rows() &&
                    mlp.down.rows() == call.out.dim(1) &&
                    (mlp.gate.empty() ||
                     (mlp.gate.rows() == mlp.up.rows() && mlp.gate.cols() == mlp.up.cols())),
                "{} through experts of {} to {} into {}", call.x.shape().ToString(), mlp.up.cols(),
                mlp.up.rows(), call.out.shape().ToString());
  BANYAN_CHECK(!mlp.gate.empty() || mlp.swiglu_limit == 0.0f, "a swiglu needs a gate");
  BANYAN_CHECK(mlp.activation != Activation::kXielu, "experts have no xIELU");
}

}  // namespace

void RouteExperts(const OpContext& context, const Tensor& logits, const Tensor& correction,
                  const Routing& routing, const Tensor& ids, const Tensor& weights) {
  const int64_t n = logits.dim(0), experts = logits.dim(1);
  CheckChoice(ids, weights, n);
  BANYAN_DCHECK(logits.dtype() == DType::kF32 && logits.stride(1) == 1 &&
                    (correction.empty() || correction.NumElements() == experts),
                "logits {} {}, correction {}", Name(logits.dtype()), logits.shape().ToString(),
                correction.shape().ToString());
  BANYAN_CHECK(routing.top_k == ids.dim(1) && routing.top_k <= experts &&
                   experts % routing.groups == 0 && routing.top_groups <= routing.groups &&
                   routing.top_groups * (experts / routing.groups) >= routing.top_k,
               "{} of {} experts in {} of {} groups", routing.top_k, experts, routing.top_groups,
               routing.groups);
  const ScratchScope scope(context.scratch);
  const Tensor scores = context.scratch->Get(DType::kF32, {n, 2 * experts});
  if (context.measuring) {  // the same choice for all: what follows reads it
    for (int64_t i = 0; i < n * routing.top_k; ++i)
      ids.data<int32_t>()[i] = static_cast<int32_t>(i % routing.top_k);
  }
  ParallelItems(context, n, kRouteNanoseconds * static_cast<double>(experts),
                [&](int64_t begin, int64_t end) {
                  for (int64_t i = begin; i < end; ++i)
                    context.table->moe.route(routing, logits.data<float>() + i * logits.stride(0),
                                             experts, correction.data<float>(),
                                             scores.data<float>() + i * 2 * experts,
                                             ids.data<int32_t>() + i * routing.top_k,
                                             weights.data<float>() + i * routing.top_k);
                });
}

StatusOr<ExpertMatrix> PackExperts(const OpContext& context, std::span<const Tensor> experts,
                                   DType compute) {
  if (experts.empty()) return InvalidArgument("no experts");
  for (const Tensor& expert : experts) {
    if (expert.dtype() != experts[0].dtype())
      return Unimplemented("experts of the types {} and {} in one layer", Name(experts[0].dtype()),
                           Name(expert.dtype()));
    if (expert.shape() != experts[0].shape())
      return InvalidArgument("experts of the shapes {} and {}", experts[0].shape().ToString(),
                             expert.shape().ToString());
  }
  return context.table->moe.pack(context, experts, compute);
}

void Experts(const OpContext& context, const ExpertsCall& call) {
  BANYAN_DCHECK(call.x.rank() == 2 && call.out.rank() == 2 && call.x.dim(0) == call.out.dim(0) &&
                    call.x.dtype() == DType::kF32 && call.out.dtype() == DType::kF32 &&
                    call.x.stride(1) == 1 && call.out.stride(1) == 1,
                "experts from {} to {}", call.x.shape().ToString(), call.out.shape().ToString());
  BANYAN_CHECK(call.routed != nullptr || call.shared != nullptr, "no experts");
  if (call.routed != nullptr) {
    CheckMlp(call, *call.routed);
    CheckChoice(call.ids, call.weights, call.x.dim(0));
  }
  if (call.shared != nullptr) CheckMlp(call, *call.shared);
  if (call.x.dim(0) == 0) return;
  const ScratchScope scope(context.scratch);
  context.table->moe.run(context, call);
}

}  // namespace banyan::ops
