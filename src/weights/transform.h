// SPDX-License-Identifier: Apache-2.0
// Carries out a Transform (weights/tensor_table.h) on one tensor of a file.
#pragma once

#include "base/status.h"
#include "weights/loader.h"
#include "weights/tensor_table.h"

namespace banyan::weights {

// The weight of shape `shape` that `transform` makes of `source` (contiguous, perhaps misaligned);
// in f32 memory of its own if `as_f32`. Errors are worded to follow "FILE: tensor 'NAME'".
StatusOr<Weight> ApplyTransform(const Tensor& source, const Transform& transform,
                                const Shape& shape, bool as_f32);

// Memory of its own for a weight.
StatusOr<Weight> MakeWeight(DType dtype, const Shape& shape);

// kDataLoss if a block of a quantized tensor has a scale that is infinite or not a number.
Status CheckScales(const Tensor& tensor);

}  // namespace banyan::weights
