// SPDX-License-Identifier: Apache-2.0
#include "nn/mlp.h"

#include <cmath>

#include "ops/elementwise.h"

namespace banyan::nn {
namespace {

float Softplus(float x) { return x > 20.0f ? x : std::log1p(std::exp(x)); }

}  // namespace

Mlp::Mlp(Scope& scope, const std::string& name, const MlpSpec& spec, int hidden,
         const std::optional<std::array<float, 4>>& xielu)
    : spec_(spec) {
  const LinearPart up = {name + ".up", spec.intermediate, Axis::kIntermediate};
  const LinearPart gate = {name + ".gate", spec.intermediate, Axis::kIntermediate};
  up_ = spec.gated ? scope.AddLinear({gate, up}, hidden, Axis::kHidden, spec.up_bias)
                   : scope.AddLinear({up}, hidden, Axis::kHidden, spec.up_bias);
  down_ = scope.AddLinear({{name + ".down", hidden, Axis::kHidden}}, spec.intermediate,
                          Axis::kIntermediate, spec.down_bias);
  if (spec.norm)
    norm_.emplace(scope, name + ".norm", *spec.norm, Shape{spec.intermediate}, Axis::kIntermediate);
  if (spec.activation != ops::Activation::kXielu) return;
  auto scalar = [&](std::string_view which, Shape shape) {
    const Vector vector = scope.AddVector(fmt::format("{}.{}", name, which), shape, Axis::kNone);
    return vector.tensor.empty() ? 0.0f : *vector.tensor.data<float>();
  };
  auto& [alpha_p, alpha_n, beta, eps] = xielu_;
  if (xielu) {
    xielu_ = *xielu;
  } else {
    alpha_p = scalar("alpha_p", {1}), alpha_n = scalar("alpha_n", {1});
    beta = scalar("beta", {}), eps = scalar("eps", {});
  }
  // The alphas are trained before the map that keeps them positive.
  alpha_p = Softplus(alpha_p);
  alpha_n = beta + Softplus(alpha_n);
}

void Mlp::Forward(const StepInputs& step, const Tensor& in, const Tensor& out) const {
  const ops::OpContext& context = step.context;
  const ops::ScratchScope scope(context.scratch);
  const Tensor up = context.scratch->Get(DType::kF32, {step.rows(), up_.rows()});
  const Tensor activated =
      context.scratch->Get(DType::kF32, {step.rows(), int64_t{spec_.intermediate}});
  up_.Forward(context, in, up);
  if (spec_.gate_scale != 1.0f) {
    const Tensor gate = up.Slice(1, 0, spec_.intermediate);
    ops::Scale(context, gate, spec_.gate_scale, gate);
  }
  if (spec_.gated) {
    ops::GatedActivate(context, spec_.activation, up, activated);
  } else if (spec_.activation == ops::Activation::kXielu) {
    const auto [alpha_p, alpha_n, beta, eps] = xielu_;
    ops::Xielu(context, up, alpha_p, alpha_n, beta, eps, activated);
  } else {
    ops::Activate(context, spec_.activation, up, activated);
  }
  if (norm_) norm_->Forward(context, activated, activated);
  down_.Forward(context, activated, out);
  if (spec_.down_scale != 1.0f) ops::Scale(context, out, spec_.down_scale, out);
}

}  // namespace banyan::nn
