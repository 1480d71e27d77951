// SPDX-License-Identifier: Apache-2.0
// What this machine can do, measured on the spot: the bounds that benchmarks are held against.
#pragma once

#include <string>

#include "base/status.h"
#include "run/cpu_device.h"
#include "tensor/dtype.h"

namespace banyan::bench {

// Bytes a second that all threads together read from memory, over far more than the caches hold.
StatusOr<double> ReadBandwidth(CpuDevice& device);

// Operations a second (two per multiply-add) of the kernel for `format` on a large square product,
// [512, 2048] x [2048, 2048], which is as good as it gets.
StatusOr<double> ProductRate(CpuDevice& device, DType format, DType compute);

// The type that most bytes of a checkpoint's tensors have.
StatusOr<DType> MainFormat(const std::string& model_path);

}  // namespace banyan::bench
