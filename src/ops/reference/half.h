// SPDX-License-Identifier: Apache-2.0
// bf16 and IEEE f16 to and from f32, rounding to nearest even: the portable form that kernels are
// held to.
#pragma once

#include <cstdint>

namespace banyan::ops {

float FromBf16(uint16_t bits);
float FromF16(uint16_t bits);
uint16_t ToBf16(float value);  // a NaN stays one
uint16_t ToF16(float value);   // beyond the range: infinity

}  // namespace banyan::ops
