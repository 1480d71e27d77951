// SPDX-License-Identifier: Apache-2.0
// Activations and other elementwise maps. Tensors are [n, dim] f32, rows may be strided; out may be
// an input.
#pragma once

#include <span>

#include "ops/context.h"

namespace banyan::ops {

enum class Activation : unsigned char {
  kSilu,
  kGelu,
  kGeluTanh,
  kRelu,
  kRelu2,
  kSigmoid,
  kTanh,
  kXielu,
  kIdentity
};

// out = act(x).
void Activate(const OpContext& context, Activation activation, const Tensor& x, const Tensor& out);

// out = act(gate) * up, with x = [n, 2 * dim] holding gate then up.
void GatedActivate(const OpContext& context, Activation activation, const Tensor& x,
                   const Tensor& out);

// xIELU (Huang and Schlag 2024) with its two trained scalars already mapped to alpha_p and alpha_n.
void Xielu(const OpContext& context, const Tensor& x, float alpha_p, float alpha_n, float beta,
           float eps, const Tensor& out);

void Add(const OpContext& context, const Tensor& a, const Tensor& b, const Tensor& out);
void Scale(const OpContext& context, const Tensor& x, float factor, const Tensor& out);
void Softcap(const OpContext& context, const Tensor& x, float cap,
             const Tensor& out);  // cap * tanh(x / cap)
void Clamp(const OpContext& context, const Tensor& x, float low, float high, const Tensor& out);
// out[i] = rows[indices[i]].
void GatherRows(const OpContext& context, const Tensor& rows, std::span<const int32_t> indices,
                const Tensor& out);

}  // namespace banyan::ops
