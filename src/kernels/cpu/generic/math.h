// SPDX-License-Identifier: Apache-2.0
// Elementary functions over a level's Vec, the same in every kernel of that level.
//
// Errors are against f64 over the whole range of f32, measured by vector_math_test.cc: Exp 2 ulp,
// Tanh 3 ulp, Sigmoid 4 ulp, Softplus 4 ulp, Gelu 1e-6 relative where x > -4 and 1e-6 of |x|
// elsewhere.
#pragma once

#include "ops/elementwise.h"

namespace banyan::kernels {

template <class V>
struct Math {
  using F = typename V::F;

  // e^x. Below -86.5 (where the result leaves the normal numbers) 0, above 88.72 infinity, NaN for
  // NaN. x = n ln 2 + r, |r| <= ln 2 / 2, with the polynomial of Cephes' expf (Moshier 1989).
  static F Exp(F x) {
    const F n = V::Round(V::Min(V::Set(128.0f), x * V::Set(1.44269504088896341f)));
    F r = V::Fnma(n, V::Set(0.693359375f), x);
    r = V::Fnma(n, V::Set(-2.12194440e-4f), r);
    F p = V::Set(1.9875691500e-4f);
    p = V::Fma(p, r, V::Set(1.3981999507e-3f));
    p = V::Fma(p, r, V::Set(8.3334519073e-3f));
    p = V::Fma(p, r, V::Set(4.1665795894e-2f));
    p = V::Fma(p, r, V::Set(1.6666665459e-1f));
    p = V::Fma(p, r, V::Set(5.0000001201e-1f));
    p = V::Fma(p, r * r, r + V::Set(1.0f));
    return V::ZeroUnless(V::NotLess(x, V::Set(-86.5f)), V::ScaleByPower(p, n));
  }

  // log(1 + e^x) = max(x, 0) + log1p(u), u = e^-|x|, and log1p(u) = 2 atanh(u / (2 + u)): a series
  // in squares of at most 1/9.
  static F Softplus(F x) {
    const F u = Exp(V::Zero() - V::Abs(x));
    const F t = u / (V::Set(2.0f) + u);
    const F z = t * t;
    F p = V::Set(2.0f / 15.0f);
    for (int n = 13; n >= 3; n -= 2) p = V::Fma(p, z, V::Set(2.0f / static_cast<float>(n)));
    return V::Max(V::Zero(), x) + V::Fma(p * z, t, t + t);
  }

  static F Sigmoid(F x) { return V::Set(1.0f) / (V::Set(1.0f) + Exp(V::Zero() - x)); }

  // Near 0 Cephes' polynomial, elsewhere from e^2x.
  static F Tanh(F x) {
    const F size = V::Abs(x);
    const F z = x * x;
    F p = V::Set(-5.70498872745e-3f);
    p = V::Fma(p, z, V::Set(2.06390887954e-2f));
    p = V::Fma(p, z, V::Set(-5.37397155531e-2f));
    p = V::Fma(p, z, V::Set(1.33314422036e-1f));
    p = V::Fma(p, z, V::Set(-3.33332819422e-1f));
    const F near = V::Fma(p * z, x, x);
    const F one = V::Set(1.0f);
    const F far = one - V::Set(2.0f) / (Exp(size + size) + one);
    return V::Select(V::Less(size, V::Set(0.625f)), near, V::CopySign(far, x));
  }

  // x / 2 * erfc(-x / sqrt 2), with erfc(a) = exp(-a^2) Q(1 / (1 + 0.47 a)) for a >= 0: Q is our
  // own fit, relative error 7e-9 up to a = 9.4.
  static F Gelu(F x) {
    const F a = V::Abs(x) * V::Set(0.70710678118654752f);
    const F t = V::Set(1.0f) / V::Fma(a, V::Set(0.47f), V::Set(1.0f));
    F q = V::Set(kErfc[9]);
    for (int i = 8; i >= 0; --i) q = V::Fma(q, t, V::Set(kErfc[i]));
    const F half_tail = V::Set(0.5f) * q * Exp(V::Zero() - a * a);
    const F upper = V::Select(V::Less(x, V::Zero()), half_tail, V::Set(1.0f) - half_tail);
    return x * upper;
  }

  static F GeluTanh(F x) {
    const F cube = x * x * x;
    const F inner = V::Set(0.79788456080286536f) * V::Fma(V::Set(0.044715f), cube, x);
    return V::Set(0.5f) * x * (V::Set(1.0f) + Tanh(inner));
  }

  static F Expm1(F x) {
    // tanh(x / 2) = (e^x - 1) / (e^x + 1): no cancellation near 0.
    const F h = Tanh(V::Set(0.5f) * x);
    return V::Select(V::Less(V::Abs(x), V::Set(1.0f)), h * (Exp(x) + V::Set(1.0f)),
                     Exp(x) - V::Set(1.0f));
  }

  template <ops::Activation kActivation>
  static F Activate(F x) {
    using ops::Activation;
    if constexpr (kActivation == Activation::kSilu) return x * Sigmoid(x);
    if constexpr (kActivation == Activation::kGelu) return Gelu(x);
    if constexpr (kActivation == Activation::kGeluTanh) return GeluTanh(x);
    if constexpr (kActivation == Activation::kGeluQuick) return x * Sigmoid(V::Set(1.702f) * x);
    if constexpr (kActivation == Activation::kRelu) return V::Max(V::Zero(), x);  // keeps NaN
    if constexpr (kActivation == Activation::kRelu2) {
      const F positive = V::Max(V::Zero(), x);
      return positive * positive;
    }
    if constexpr (kActivation == Activation::kSigmoid) return Sigmoid(x);
    if constexpr (kActivation == Activation::kTanh) return Tanh(x);
    return x;
  }

 private:
  static constexpr float kErfc[10] = {1.32675077e-05f, 0.264815451f,  0.269271201f, 0.208664852f,
                                      0.291317332f,    -0.213791858f, 0.581746172f, -0.656004892f,
                                      0.309015986f,    -0.0550475176f};
};

}  // namespace banyan::kernels
