// SPDX-License-Identifier: Apache-2.0
// Stands for cuda_backend.cc in a build without the CMake option BANYAN_CUDA.
#include "device/cuda/cuda_backend.h"

namespace banyan {
namespace {

Status NotBuilt() { return Unimplemented("built without CUDA (CMake preset cuda has it)"); }

}  // namespace

std::string Describe(const CudaGpu& gpu) { return gpu.name; }

StatusOr<std::vector<CudaGpu>> FindCudaGpus() { return NotBuilt(); }

StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(int) { return NotBuilt(); }

}  // namespace banyan
