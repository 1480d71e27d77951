// SPDX-License-Identifier: Apache-2.0
#include "nn/norm.h"

#include "ops/elementwise.h"
#include "ops/norm.h"

namespace banyan::nn {

Norm::Norm(Scope& scope, const std::string& name, const NormSpec& spec, Shape shape, Axis axis)
    : spec_(spec) {
  auto add = [&](std::string_view part) {
    return shape.rank() == 1 ? scope.AddVector(fmt::format("{}{}", name, part), shape, axis)
                             : scope.AddVectors(name, part, shape, axis);
  };
  if (spec.weight) weight_ = add(".weight");
  if (spec.bias) bias_ = add(".bias");
}

void Norm::Forward(const ops::OpContext& context, const Tensor& x, const Tensor& out) const {
  if (spec_.kind == NormSpec::Kind::kRms) {
    ops::RmsNorm(context, x, weight_.tensor, spec_.eps, out);
  } else {
    ops::LayerNorm(context, x, weight_.tensor, bias_.tensor, spec_.eps, out);
  }
}

void Norm::AddForward(const ops::OpContext& context, const Tensor& delta, const Tensor& stream,
                      const Tensor& out) const {
  if (spec_.kind == NormSpec::Kind::kRms) {
    ops::AddRmsNorm(context, delta, stream, weight_.tensor, spec_.eps, out);
  } else {
    ops::Add(context, stream, delta, stream);
    Forward(context, stream, out);
  }
}

}  // namespace banyan::nn
