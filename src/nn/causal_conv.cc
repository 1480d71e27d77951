// SPDX-License-Identifier: Apache-2.0
#include "nn/causal_conv.h"

namespace banyan::nn {

CausalConv::CausalConv(Scope& scope, const std::string& name, int channels, int kernel, bool bias,
                       bool silu, const std::vector<int>& parts)
    : channels_(channels), kernel_(kernel), silu_(silu) {
  std::vector<float> rows;  // [channels, kernel]
  const auto add = [&](const std::string& part, int count) {
    Vector weight = scope.AddVector(part + ".weight", {count, kernel}, Axis::kIntermediate);
    if (!scope.status().ok()) return;
    const float* values = weight.tensor.data<float>();
    rows.insert(rows.end(), values, values + weight.tensor.NumElements());
  };
  if (parts.empty()) add(name, channels);
  for (std::size_t i = 0; i < parts.size(); ++i)
    add(fmt::format("{}.{}", name, "qkv"[i]), parts[i]);
  if (bias) bias_ = scope.AddVector(name + ".bias", {channels}, Axis::kIntermediate);
  if (!scope.status().ok()) return;
  BANYAN_CHECK(rows.size() == static_cast<std::size_t>(channels) * kernel, "parts of {}", name);
  weight_.resize(rows.size());
  for (int c = 0; c < channels; ++c)
    for (int j = 0; j < kernel; ++j) weight_[j * channels + c] = rows[c * kernel + j];
}

void CausalConv::Forward(const ops::OpContext& context,
                         std::span<const ops::StateSequence> sequences, const Tensor& x,
                         const Tensor& state, const Tensor& out) const {
  const Tensor weight(const_cast<float*>(weight_.data()), DType::kF32, {kernel_, channels_});
  ops::CausalConv(context, {weight, bias_.tensor, silu_}, sequences, x, state, out);
}

}  // namespace banyan::nn
