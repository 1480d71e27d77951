// SPDX-License-Identifier: Apache-2.0
// BitNet's quantization (Ma et al. 2024), quant_method "bitnet": matrices of -1, 0 and 1 with one
// scale each, times x rounded per row to 8 bits:
//
//   y = factor / s * (round(x * s) . W) + bias * bias_factor,   s = 127 / max(max |x|, 1e-5)
//
// In transformers' three forms:
//   packed, "bitlinear": NAME.weight u8 [rows / 4, cols], bits 2i and 2i + 1 of an item being the
//     value of row i * rows / 4 + its own, plus 1; factor = 1 / NAME.weight_scale
//   packed, "autobitlinear": the same, or the values themselves; factor = bias_factor =
//     NAME.weight_scale
//   online: weights as they were trained; factor = mean |W|, W = round(W / factor) within -1 and 1
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"
#include "tensor/tensor.h"

namespace banyan::weights {

enum class TernaryForm : unsigned char { kNone, kDivided, kMultiplied, kOnline };

// What a config's `quantization_config` says; kNone where its method is another. kUnimplemented
// names what of it has no implementation.
StatusOr<TernaryForm> ReadTernary(const json::object& quantization, const std::string& where);
// The form of a config that Checkpoint::Open has passed.
TernaryForm TernaryFormOf(const json::object& config);
// kUnimplemented where such a config goes with a family that it has no implementation for. `dense`:
// its layers are attention and dense networks alone.
Status CheckTernaryFamily(const json::object& config, std::string_view family, bool dense);

// Matrices [rows, cols] as bf16, which holds -1, 0 and 1 exactly: from the packed form, and from
// trained weights of any floating point type, with their factor. Errors are worded to follow "FILE:
// tensor 'NAME'".
struct Weight;  // weights/loader.h
StatusOr<Weight> UnpackTernary(const Tensor& packed, const Shape& shape);
StatusOr<Weight> RoundToTernary(const Tensor& trained);

}  // namespace banyan::weights
