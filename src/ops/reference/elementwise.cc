// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

#include <algorithm>
#include <cmath>

namespace banyan::ops {
namespace {

float Apply(Activation activation, float x) {
  switch (activation) {
    case Activation::kSilu:
      return x / (1.0f + std::exp(-x));
    case Activation::kGelu:
      return 0.5f * x * (1.0f + std::erf(x * 0.70710678118654752f));
    case Activation::kGeluTanh:
      return 0.5f * x * (1.0f + std::tanh(0.79788456080286536f * (x + 0.044715f * x * x * x)));
    case Activation::kGeluQuick:
      return x / (1.0f + std::exp(-1.702f * x));
    case Activation::kRelu:
      return x > 0.0f ? x : 0.0f * x;  // keeps NaN
    case Activation::kRelu2:
      return x > 0.0f ? x * x : 0.0f * x;
    case Activation::kSigmoid:
      return 1.0f / (1.0f + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kXielu:
    case Activation::kIdentity:
      break;
  }
  return x;
}

template <typename Fn>
void Map(const Rows& out, int64_t begin, int64_t end, Fn&& fn) {
  for (int64_t row = begin; row < end; ++row)
    for (int64_t i = 0; i < out.dim; ++i) out.at(row)[i] = fn(row, i);
}

void Activate(Activation activation, const Rows& x, const Rows& out, int64_t begin, int64_t end) {
  Map(out, begin, end, [&](int64_t r, int64_t i) { return Apply(activation, x.at(r)[i]); });
}

void Gated(Activation activation, const Rows& gate, const Rows& up, const Rows& out, int64_t begin,
           int64_t end) {
  Map(out, begin, end,
      [&](int64_t r, int64_t i) { return Apply(activation, gate.at(r)[i]) * up.at(r)[i]; });
}

void Xielu(const Rows& rows, float alpha_p, float alpha_n, float beta, float eps, const Rows& out,
           int64_t begin, int64_t end) {
  Map(out, begin, end, [&](int64_t r, int64_t i) {
    const float x = rows.at(r)[i];
    return x > 0.0f ? alpha_p * x * x + beta * x
                    : (std::expm1(std::min(x, eps)) - x) * alpha_n + beta * x;
  });
}

void Add(const Rows& a, const Rows& b, const Rows& out, int64_t begin, int64_t end) {
  Map(out, begin, end, [&](int64_t r, int64_t i) { return a.at(r)[i] + b.at(r)[i]; });
}

void Mul(const Rows& a, const Rows& b, const Rows& out, int64_t begin, int64_t end) {
  Map(out, begin, end, [&](int64_t r, int64_t i) { return a.at(r)[i] * b.at(r)[i]; });
}

void Scale(const Rows& x, float factor, const Rows& out, int64_t begin, int64_t end) {
  Map(out, begin, end, [&](int64_t r, int64_t i) { return x.at(r)[i] * factor; });
}

void Softcap(const Rows& x, float cap, const Rows& out, int64_t begin, int64_t end) {
  Map(out, begin, end, [&](int64_t r, int64_t i) { return cap * std::tanh(x.at(r)[i] / cap); });
}

void Clamp(const Rows& x, float low, float high, const Rows& out, int64_t begin, int64_t end) {
  Map(out, begin, end, [&](int64_t r, int64_t i) {
    const float value = x.at(r)[i];
    return value < low ? low : value > high ? high : value;
  });
}

void ClampedSwiglu(const Rows& gate, const Rows& up, float alpha, float limit, const Rows& out,
                   int64_t begin, int64_t end) {
  Map(out, begin, end, [&](int64_t r, int64_t i) {
    const float g = gate.at(r)[i] > limit ? limit : gate.at(r)[i];
    const float u = up.at(r)[i];
    return ((u < -limit  ? -limit
             : u > limit ? limit
                         : u) +
            1.0f) *
           (g / (1.0f + std::exp(-alpha * g)));
  });
}

}  // namespace

void FillElementwiseReference(OpTable& table) {
  table.elementwise = {Activate, Gated, Xielu, Add, Mul, Scale, Softcap, Clamp, ClampedSwiglu};
}

}  // namespace banyan::ops
