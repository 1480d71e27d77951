// SPDX-License-Identifier: Apache-2.0
// Activations and other maps over a level's Vec.
#pragma once

#include "kernels/cpu/generic/math.h"
#include "kernels/cpu/generic/rows.h"

namespace banyan::kernels {

template <class V>
struct Elementwise {
  using F = typename V::F;
  using M = Math<V>;
  using Rows = ops::Rows;
  using Activation = ops::Activation;

  template <class Fn, class... R>
  static void Map(int64_t begin, int64_t end, Fn&& fn, const Rows& out, const R&... from) {
    const int64_t dim = out.dim;
    ForRows(
        begin, end, [&](int64_t, float* to, const auto*... row) { MapRow<V>(dim, to, fn, row...); },
        out, from...);
  }

  // fn(function of one vector) with the activation as a compile-time choice.
  template <class Fn>
  static void Choose(Activation activation, Fn&& fn) {
#define BANYAN_ACTIVATION(name) \
  case Activation::name:        \
    return fn([](F x) { return M::template Activate<Activation::name>(x); })
    switch (activation) {
      BANYAN_ACTIVATION(kSilu);
      BANYAN_ACTIVATION(kGelu);
      BANYAN_ACTIVATION(kGeluTanh);
      BANYAN_ACTIVATION(kGeluQuick);
      BANYAN_ACTIVATION(kRelu);
      BANYAN_ACTIVATION(kRelu2);
      BANYAN_ACTIVATION(kSigmoid);
      BANYAN_ACTIVATION(kTanh);
      BANYAN_ACTIVATION(kIdentity);
      case Activation::kXielu:
        break;
    }
#undef BANYAN_ACTIVATION
  }

  static void Activate(Activation activation, const Rows& x, const Rows& out, int64_t begin,
                       int64_t end) {
    Choose(activation, [&](auto act) { Map(begin, end, act, out, x); });
  }

  static void Gated(Activation activation, const Rows& gate, const Rows& up, const Rows& out,
                    int64_t begin, int64_t end) {
    Choose(activation, [&](auto act) {
      Map(
          begin, end, [act](F g, F u) { return act(g) * u; }, out, gate, up);
    });
  }

  static void Xielu(const Rows& x, float alpha_p, float alpha_n, float beta, float eps,
                    const Rows& out, int64_t begin, int64_t end) {
    const F p = V::Set(alpha_p);
    const F n = V::Set(alpha_n);
    const F b = V::Set(beta);
    Map(
        begin, end,
        [&](F v) {
          const F positive = p * v * v + b * v;
          const F negative = (M::Expm1(V::Min(V::Set(eps), v)) - v) * n + b * v;
          return V::Select(V::Less(V::Zero(), v), positive, negative);
        },
        out, x);
  }

  static void Add(const Rows& a, const Rows& b, const Rows& out, int64_t begin, int64_t end) {
    Map(
        begin, end, [](F x, F y) { return x + y; }, out, a, b);
  }

  static void Mul(const Rows& a, const Rows& b, const Rows& out, int64_t begin, int64_t end) {
    Map(
        begin, end, [](F x, F y) { return x * y; }, out, a, b);
  }

  static void Scale(const Rows& x, float factor, const Rows& out, int64_t begin, int64_t end) {
    const F f = V::Set(factor);
    Map(
        begin, end, [f](F v) { return v * f; }, out, x);
  }

  static void Softcap(const Rows& x, float cap, const Rows& out, int64_t begin, int64_t end) {
    const F c = V::Set(cap);
    Map(
        begin, end, [c](F v) { return c * M::Tanh(v / c); }, out, x);
  }

  static void Clamp(const Rows& x, float low, float high, const Rows& out, int64_t begin,
                    int64_t end) {
    const F l = V::Set(low);
    const F h = V::Set(high);
    Map(
        begin, end, [l, h](F v) { return V::Min(h, V::Max(l, v)); }, out, x);
  }

  static void ClampedSwiglu(const Rows& gate, const Rows& up, float alpha, float limit,
                            const Rows& out, int64_t begin, int64_t end) {
    const F a = V::Set(alpha);
    const F high = V::Set(limit);
    const F low = V::Set(-limit);
    Map(
        begin, end,
        [&](F g, F u) {
          g = V::Min(high, g);
          u = V::Min(high, V::Max(low, u));
          return (u + V::Set(1.0f)) * (g * M::Sigmoid(a * g));
        },
        out, gate, up);
  }

  static void Fill(ops::OpTable& table) {
    table.elementwise = {Activate, Gated, Xielu, Add, Mul, Scale, Softcap, Clamp, ClampedSwiglu};
  }
};

}  // namespace banyan::kernels
