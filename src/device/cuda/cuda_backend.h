// SPDX-License-Identifier: Apache-2.0
// An NVIDIA GPU as a Backend: its memory, one stream for copies, and what it is. Built with the
// CMake option BANYAN_CUDA; without it the same functions say so (not_built.cc). No kernels here.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "device/backend.h"

namespace banyan {

struct CudaGpu {
  int ordinal = 0;  // among those that the driver shows (CUDA_VISIBLE_DEVICES)
  std::string name;
  std::size_t memory = 0;  // bytes in all
  int compute_major = 0;
  int compute_minor = 0;
  std::string driver;  // "580.159.04 (CUDA 13.0)": its version, the newest CUDA that it knows
};

std::string Describe(const CudaGpu& gpu);

// At least one, or why there is none: kUnimplemented for a build without CUDA, kUnavailable for a
// machine without driver or GPU. Makes no context: costs no memory on the GPU.
StatusOr<std::vector<CudaGpu>> FindCudaGpus();

// Thread-safe; each has a stream of its own, several share the device's primary context. Memory
// that it gave out may outlive it, and giving memory back waits for what still uses it.
//
// Copy takes host memory at either end too; it must stay until Synchronize, and the ends must not
// overlap. A Copy that fails is told by the next Synchronize, once.
StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(int ordinal);

}  // namespace banyan
