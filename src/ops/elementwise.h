// SPDX-License-Identifier: Apache-2.0
// Activations and other elementwise maps. Tensors are [n, dim] or [n, heads, dim] f32, rows may be
// strided; out may be an input.
#pragma once

#include <span>

#include "ops/context.h"

namespace banyan::ops {

enum class Activation : unsigned char {
  kSilu,
  kGelu,       // x / 2 * (1 + erf(x / sqrt(2)))
  kGeluTanh,   // its tanh form: gelu_new, gelu_fast, gelu_pytorch_tanh
  kGeluQuick,  // x * sigmoid(1.702 * x)
  kRelu,
  kRelu2,  // relu(x)^2
  kSigmoid,
  kTanh,
  kXielu,
  kIdentity
};

// out = act(x).
void Activate(const OpContext& context, Activation activation, const Tensor& x, const Tensor& out);

// out = act(gate) * up, with x = [n, 2 * dim] holding gate then up. kXielu has parameters of its
// own and is not for here, nor for Activate.
void GatedActivate(const OpContext& context, Activation activation, const Tensor& x,
                   const Tensor& out);

// out = act(gate) * x.
void ActivateAndMul(const OpContext& context, Activation activation, const Tensor& gate,
                    const Tensor& x, const Tensor& out);

// gpt-oss's unit: out = (clamp(up, -limit, limit) + 1) * g * sigmoid(alpha * g), g = min(gate,
// limit), with x = [n, 2 * dim] holding gate then up.
void ClampedSwiglu(const OpContext& context, float alpha, float limit, const Tensor& x,
                   const Tensor& out);

// xIELU (Huang and Schlag 2024): x > 0: alpha_p * x^2 + beta * x; else (expm1(min(x, eps)) - x) *
// alpha_n + beta * x. The two trained scalars are already mapped: alpha_p = softplus(a), alpha_n =
// beta + softplus(b).
void Xielu(const OpContext& context, const Tensor& x, float alpha_p, float alpha_n, float beta,
           float eps, const Tensor& out);

void Add(const OpContext& context, const Tensor& a, const Tensor& b, const Tensor& out);
void Mul(const OpContext& context, const Tensor& a, const Tensor& b, const Tensor& out);
// out[i] = x[i] * factors[i]: one factor per row.
void ScaleRows(const OpContext& context, const Tensor& x, std::span<const float> factors,
               const Tensor& out);
// out[i] = x[i] / steps[i], rounded to nearest even within [-128, 127]: steps[i] = max(1e-5, the
// largest magnitude of the row) / 127. [n, dim].
void RoundRows(const OpContext& context, const Tensor& x, const Tensor& out,
               std::span<float> steps);
void Scale(const OpContext& context, const Tensor& x, float factor, const Tensor& out);
void Softcap(const OpContext& context, const Tensor& x, float cap,
             const Tensor& out);  // cap * tanh(x / cap)
void Clamp(const OpContext& context, const Tensor& x, float low, float high, const Tensor& out);
// out[i] = rows[indices[i]].
void GatherRows(const OpContext& context, const Tensor& rows, std::span<const int32_t> indices,
                const Tensor& out);

}  // namespace banyan::ops
