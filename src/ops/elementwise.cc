// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "ops/parallel.h"
#include "ops/rows.h"

namespace banyan::ops {
namespace {
constexpr double kMoveNanoseconds = 0.3;      // per element: limited by memory
constexpr double kActivateNanoseconds = 1.0;  // per element: an exponential or so

template <typename Fn>
void ForRows(const OpContext& context, const Rows& rows, double element_nanoseconds, Fn&& fn) {
  ParallelItems(context, rows.count(), element_nanoseconds * static_cast<double>(rows.dim), fn);
}

void CheckSame(const char* op, const Tensor& x, const Tensor& out) {
  BANYAN_DCHECK(x.shape() == out.shape(), "{}: {} to {}", op, x.shape().ToString(),
                out.shape().ToString());
}

// The halves of x = [n, 2 * dim].
std::pair<Rows, Rows> GateAndUp(const Tensor& x, const Tensor& out) {
  const Rows to = AsRows(out);
  Rows gate = AsRows(x);
  BANYAN_DCHECK(gate.outer == to.outer && gate.inner == to.inner && gate.dim == 2 * to.dim,
                "a gated unit: {} to {}", x.shape().ToString(), out.shape().ToString());
  gate.dim = to.dim;
  Rows up = gate;
  up.data += to.dim;
  return {gate, up};
}

}  // namespace

void Activate(const OpContext& context, Activation activation, const Tensor& x, const Tensor& out) {
  BANYAN_CHECK(activation != Activation::kXielu, "xIELU has an op of its own");
  CheckSame("Activate", x, out);
  const Rows in = AsRows(x);
  const Rows to = AsRows(out);
  ForRows(context, in, kActivateNanoseconds, [&](int64_t begin, int64_t end) {
    context.table->elementwise.activate(activation, in, to, begin, end);
  });
}

void GatedActivate(const OpContext& context, Activation activation, const Tensor& x,
                   const Tensor& out) {
  BANYAN_CHECK(activation != Activation::kXielu, "xIELU has an op of its own");
  const Rows to = AsRows(out);
  const auto halves = GateAndUp(x, out);
  ForRows(context, to, kActivateNanoseconds, [&](int64_t begin, int64_t end) {
    context.table->elementwise.gated(activation, halves.first, halves.second, to, begin, end);
  });
}

void ActivateAndMul(const OpContext& context, Activation activation, const Tensor& gate,
                    const Tensor& x, const Tensor& out) {
  BANYAN_CHECK(activation != Activation::kXielu, "xIELU has an op of its own");
  CheckSame("ActivateAndMul", gate, out);
  CheckSame("ActivateAndMul", x, out);
  const Rows gates = AsRows(gate), in = AsRows(x), to = AsRows(out);
  ForRows(context, to, kActivateNanoseconds, [&](int64_t begin, int64_t end) {
    context.table->elementwise.gated(activation, gates, in, to, begin, end);
  });
}

void ClampedSwiglu(const OpContext& context, float alpha, float limit, const Tensor& x,
                   const Tensor& out) {
  const Rows to = AsRows(out);
  const auto halves = GateAndUp(x, out);
  ForRows(context, to, kActivateNanoseconds, [&](int64_t begin, int64_t end) {
    context.table->elementwise.clamped_swiglu(halves.first, halves.second, alpha, limit, to, begin,
                                              end);
  });
}

void Xielu(const OpContext& context, const Tensor& x, float alpha_p, float alpha_n, float beta,
           float eps, const Tensor& out) {
  CheckSame("Xielu", x, out);
  const Rows in = AsRows(x);
  const Rows to = AsRows(out);
  ForRows(context, in, kActivateNanoseconds, [&](int64_t begin, int64_t end) {
    context.table->elementwise.xielu(in, alpha_p, alpha_n, beta, eps, to, begin, end);
  });
}

void Add(const OpContext& context, const Tensor& a, const Tensor& b, const Tensor& out) {
  CheckSame("Add", a, out);
  CheckSame("Add", b, out);
  const Rows left = AsRows(a);
  const Rows right = AsRows(b);
  const Rows to = AsRows(out);
  ForRows(context, to, kMoveNanoseconds, [&](int64_t begin, int64_t end) {
    context.table->elementwise.add(left, right, to, begin, end);
  });
}

void Mul(const OpContext& context, const Tensor& a, const Tensor& b, const Tensor& out) {
  CheckSame("Mul", a, out);
  CheckSame("Mul", b, out);
  const Rows left = AsRows(a);
  const Rows right = AsRows(b);
  const Rows to = AsRows(out);
  ForRows(context, to, kMoveNanoseconds, [&](int64_t begin, int64_t end) {
    context.table->elementwise.mul(left, right, to, begin, end);
  });
}

void ScaleRows(const OpContext& context, const Tensor& x, std::span<const float> factors,
               const Tensor& out) {
  CheckSame("ScaleRows", x, out);
  const Rows in = AsRows(x);
  const Rows to = AsRows(out);
  BANYAN_DCHECK(static_cast<int64_t>(factors.size()) == in.outer, "ScaleRows: {} factors for {}",
                factors.size(), x.shape().ToString());
  ForRows(context, in, kMoveNanoseconds, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      context.table->elementwise.scale(in, factors[row / in.inner], to, row, row + 1);
  });
}

void RoundRows(const OpContext& context, const Tensor& x, const Tensor& out,
               std::span<float> steps) {
  CheckSame("RoundRows", x, out);
  const Rows in = AsRows(x), to = AsRows(out);
  ForRows(context, in, kActivateNanoseconds, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* from = in.at(row);
      float largest = 1e-5f;
      for (int64_t i = 0; i < in.dim; ++i) largest = std::max(largest, std::abs(from[i]));
      const float scale = 127.0f / largest;
      for (int64_t i = 0; i < in.dim; ++i)
        to.at(row)[i] = std::clamp(std::nearbyint(from[i] * scale), -128.0f, 127.0f);
      steps[static_cast<std::size_t>(row)] = 1.0f / scale;
    }
  });
}

void Scale(const OpContext& context, const Tensor& x, float factor, const Tensor& out) {
  CheckSame("Scale", x, out);
  const Rows in = AsRows(x);
  const Rows to = AsRows(out);
  ForRows(context, in, kMoveNanoseconds, [&](int64_t begin, int64_t end) {
    context.table->elementwise.scale(in, factor, to, begin, end);
  });
}

void Softcap(const OpContext& context, const Tensor& x, float cap, const Tensor& out) {
  CheckSame("Softcap", x, out);
  const Rows in = AsRows(x);
  const Rows to = AsRows(out);
  ForRows(context, in, kActivateNanoseconds, [&](int64_t begin, int64_t end) {
    context.table->elementwise.softcap(in, cap, to, begin, end);
  });
}

void Clamp(const OpContext& context, const Tensor& x, float low, float high, const Tensor& out) {
  CheckSame("Clamp", x, out);
  const Rows in = AsRows(x);
  const Rows to = AsRows(out);
  ForRows(context, in, kMoveNanoseconds, [&](int64_t begin, int64_t end) {
    context.table->elementwise.clamp(in, low, high, to, begin, end);
  });
}

void GatherRows(const OpContext& context, const Tensor& rows, std::span<const int32_t> indices,
                const Tensor& out) {
  const Rows from = AsRows(rows);
  const Rows to = AsRows(out);
  BANYAN_DCHECK(from.inner == 1 && to.inner == 1 && from.dim == to.dim &&
                    to.outer == static_cast<int64_t>(indices.size()),
                "GatherRows: {} of {} to {}", indices.size(), rows.shape().ToString(),
                out.shape().ToString());
  ForRows(context, to, kMoveNanoseconds, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      BANYAN_DCHECK(indices[i] >= 0 && indices[i] < from.outer, "row {} of {}", indices[i],
                    from.outer);
      std::memcpy(to.at(i), from.at(indices[i]), static_cast<std::size_t>(to.dim) * sizeof(float));
    }
  });
}

}  // namespace banyan::ops
