// SPDX-License-Identifier: Apache-2.0
#include "nn/norm.h"

#include "ops/elementwise.h"
#include "ops/norm.h"

namespace banyan::nn {

Norm::Norm(Scope& scope, const std::string& name, const NormSpec& spec, Shape shape, Axis axis)
    : spec_(spec) {
  if (spec.weight) weight_ = scope.AddVector(name + ".weight", shape, axis);
  if (spec.bias) bias_ = scope.AddVector(name + ".bias", shape, axis);
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
