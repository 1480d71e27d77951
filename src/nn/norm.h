// SPDX-License-Identifier: Apache-2.0
// Norm: one normalization with its weights, over the last dimension of f32 rows.
#pragma once

#include <string>

#include "nn/scope.h"

namespace banyan::nn {

struct NormSpec {
  enum class Kind : uint8_t { kRms, kLayer };
  Kind kind = Kind::kRms;
  float eps = 1e-6f;
  bool weight = true;
  bool bias = false;
};

class Norm {
 public:
  // Tensors NAME.weight and NAME.bias of `shape` [dim]; for norms per head, [heads, dim], the
  // tensors NAME.0.weight, NAME.1.weight, ... of one head each.
  Norm(Scope& scope, const std::string& name, const NormSpec& spec, Shape shape, Axis axis);
  // x and out: [n, dim] or [n, heads, dim]; out may be x.
  void Forward(const ops::OpContext& context, const Tensor& x, const Tensor& out) const;
  // stream += delta, then out = norm(stream); [n, dim].
  void AddForward(const ops::OpContext& context, const Tensor& delta, const Tensor& stream,
                  const Tensor& out) const;

 private:
  NormSpec spec_;
  Vector weight_, bias_;
};

}  // namespace banyan::nn
