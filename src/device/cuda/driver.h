// SPDX-License-Identifier: Apache-2.0
// The part of the CUDA driver API that Banyan uses, declared here and found in libcuda.so.1 while
// the program runs: building needs nothing of CUDA, and a machine without the driver gets a Status.
//
// Types, values and signatures are those of the CUDA Driver API reference, without the prefix of
// the functions; the version suffixes of the ABI (_v2) stand in driver.cc. Thread-safe.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/status.h"

namespace banyan::cuda {

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUcontext = struct CUctx_st*;
using CUstream = struct CUstream_st*;

inline constexpr CUresult CUDA_SUCCESS = 0;
inline constexpr CUresult CUDA_ERROR_OUT_OF_MEMORY = 2;
inline constexpr unsigned CU_STREAM_NON_BLOCKING = 1;
inline constexpr int CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75;
inline constexpr int CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76;

struct Driver {
  // kUnavailable where there is no driver, one that lacks a function, or one that cannot start.
  static StatusOr<Driver> Open();

  // What `call` answered: OK, kResourceExhausted for lack of memory, else kInternal with its name.
  Status Check(CUresult result, std::string_view call) const;

  CUresult (*GetErrorName)(CUresult, const char** name);
  CUresult (*GetErrorString)(CUresult, const char** text);
  CUresult (*Init)(unsigned flags);
  CUresult (*DriverGetVersion)(int* version);  // 13000 for CUDA 13.0
  CUresult (*DeviceGetCount)(int* count);
  CUresult (*DeviceGet)(CUdevice*, int ordinal);
  CUresult (*DeviceGetName)(char* name, int size, CUdevice);
  CUresult (*DeviceTotalMem)(std::size_t* bytes, CUdevice);
  CUresult (*DeviceGetAttribute)(int* value, int attribute, CUdevice);
  CUresult (*DevicePrimaryCtxRetain)(CUcontext*, CUdevice);
  CUresult (*DevicePrimaryCtxRelease)(CUdevice);
  CUresult (*CtxPushCurrent)(CUcontext);
  CUresult (*CtxPopCurrent)(CUcontext*);
  CUresult (*StreamCreate)(CUstream*, unsigned flags);
  CUresult (*StreamDestroy)(CUstream);
  CUresult (*StreamSynchronize)(CUstream);
  CUresult (*MemGetInfo)(std::size_t* free, std::size_t* total);
  CUresult (*MemAlloc)(CUdeviceptr*, std::size_t bytes);
  CUresult (*MemFree)(CUdeviceptr);
  CUresult (*MemsetD8Async)(CUdeviceptr, unsigned char value, std::size_t bytes, CUstream);
  CUresult (*MemcpyAsync)(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream);
};

}  // namespace banyan::cuda
