// SPDX-License-Identifier: Apache-2.0
#include "nn/moe.h"

#include "ops/elementwise.h"

namespace banyan::nn {

Status CheckMoe(const MoeSpec& spec) {
  const ops::Routing& routing = spec.routing;
  const int groups = routing.groups;
  if (spec.experts % groups != 0 || routing.top_groups > groups ||
      routing.top_k > spec.experts / groups * routing.top_groups)
    return InvalidArgument("a choice of {} of {} experts, in {} of {} groups", routing.top_k,
                           spec.experts, routing.top_groups, groups);
  return OkStatus();
}

Moe::Moe(Scope& scope, const std::string& name, const MoeSpec& spec, int hidden) : spec_(spec) {
  router_ =
      scope.AddRouter({name + ".router", spec.experts, Axis::kNone}, hidden, spec.router_bias);
  if (spec.correction_bias)
    correction_ = scope.AddVector(name + ".correction.bias", {spec.experts}, Axis::kNone);
  if (spec.latent > 0) {
    latent_in_ = scope.AddLinear({{name + ".latent_in", spec.latent, Axis::kNone}}, hidden,
                                 Axis::kHidden, spec.latent_bias);
    latent_out_ = scope.AddLinear({{name + ".latent_out", hidden, Axis::kHidden}}, spec.latent,
                                  Axis::kNone, spec.latent_bias);
  }
  std::vector<std::string> names;
  for (int e = 0; e < spec.experts; ++e) names.push_back(fmt::format("{}.experts.{}", name, e));
  routed_ = Declare(scope, names, spec.intermediate, spec.latent > 0 ? spec.latent : hidden,
                    spec.expert_bias);
  if (spec.shared_intermediate == 0) return;
  const std::string shared[] = {name + ".shared"};
  shared_ = Declare(scope, shared, spec.shared_intermediate, hidden, spec.shared_bias);
  if (spec.shared_gate)
    shared_gate_ = scope.AddRouter({name + ".shared_gate", 1, Axis::kNone}, hidden, false);
}

Moe::Experts Moe::Declare(Scope& scope, std::span<const std::string> names, int intermediate,
                          int hidden, bool bias) const {
  const auto add = [&](std::string_view part, int64_t rows, int64_t cols) {
    std::vector<std::string> parts;
    for (const std::string& name : names) parts.push_back(fmt::format("{}.{}", name, part));
    return scope.AddExperts(parts, rows, cols, bias);
  };
  Experts experts;
  if (spec_.gated) experts.gate = add("gate", intermediate, hidden);
  experts.up = add("up", intermediate, hidden);
  experts.down = add("down", hidden, intermediate);
  // The matrices move, the memory that they point to stays.
  experts.mlp = {.gate = std::move(experts.gate.matrix),
                 .up = std::move(experts.up.matrix),
                 .down = std::move(experts.down.matrix),
                 .activation = spec_.activation,
                 .swiglu_limit = spec_.swiglu_limit};
  return experts;
}

void Moe::Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const {
  const ops::OpContext& context = step.context;
  const ops::ScratchScope scope(context.scratch);
  const int64_t n = in.dim(0);
  const auto rows_of = [&](int64_t cols) { return context.scratch->Get(DType::kF32, {n, cols}); };
  const Tensor logits = rows_of(spec_.experts);
  router_.Forward(context, in, logits);

  ops::ExpertsCall call{.x = in, .routed = &routed_.mlp, .out = out};
  call.ids = context.scratch->Get(DType::kI32, {n, spec_.routing.top_k});
  call.weights = rows_of(spec_.routing.top_k);
  call.scale_input = spec_.scale_input;
  ops::RouteExperts(context, logits, correction_.tensor, spec_.routing, call.ids, call.weights);
  if (shared_) call.shared = &shared_->mlp;
  if (!shared_gate_.empty()) {
    const Tensor gate = rows_of(1);
    shared_gate_.Forward(context, in, gate);
    ops::Activate(context, ops::Activation::kSigmoid, gate, gate);
    call.shared_weights = gate.Reshape({n});
  }
  if (latent_in_.empty()) return ops::Experts(context, call);

  // The shared expert stays in the stream's own space.
  ops::ExpertsCall shared_call = call;
  shared_call.routed = nullptr;
  call.shared = nullptr;
  call.x = rows_of(spec_.latent);
  call.out = rows_of(spec_.latent);
  latent_in_.Forward(context, in, call.x);
  ops::Experts(context, call);
  latent_out_.Forward(context, call.out, out);
  if (!shared_) return;
  shared_call.out = rows_of(out.dim(1));
  ops::Experts(context, shared_call);
  ops::Add(context, out, shared_call.out, out);
}

}  // namespace banyan::nn
