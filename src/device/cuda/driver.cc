// SPDX-License-Identifier: Apache-2.0
#include "device/cuda/driver.h"

#include <dlfcn.h>

#include <string>

namespace banyan::cuda {
namespace {

template <typename Function>
void Find(void* library, const char* name, Function& function, std::string& missing) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr) missing += (missing.empty() ? "" : ", ") + std::string(name);
}

}  // namespace

StatusOr<Driver> Driver::Open() {
  // Never closed: the driver has threads of its own, and opening it again costs microseconds.
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return Unavailable("no NVIDIA driver ({})", dlerror());
  Driver driver = {};
  std::string missing;
  const auto find = [&](const char* name, auto& function) {
    Find(library, name, function, missing);
  };
  find("cuGetErrorName", driver.GetErrorName);
  find("cuGetErrorString", driver.GetErrorString);
  find("cuInit", driver.Init);
  find("cuDriverGetVersion", driver.DriverGetVersion);
  find("cuDeviceGetCount", driver.DeviceGetCount);
  find("cuDeviceGet", driver.DeviceGet);
  find("cuDeviceGetName", driver.DeviceGetName);
  find("cuDeviceTotalMem_v2", driver.DeviceTotalMem);
  find("cuDeviceGetAttribute", driver.DeviceGetAttribute);
  find("cuDevicePrimaryCtxRetain", driver.DevicePrimaryCtxRetain);
  find("cuDevicePrimaryCtxRelease_v2", driver.DevicePrimaryCtxRelease);
  find("cuCtxPushCurrent_v2", driver.CtxPushCurrent);
  find("cuCtxPopCurrent_v2", driver.CtxPopCurrent);
  find("cuStreamCreate", driver.StreamCreate);
  find("cuStreamDestroy_v2", driver.StreamDestroy);
  find("cuStreamSynchronize", driver.StreamSynchronize);
  find("cuMemGetInfo_v2", driver.MemGetInfo);
  find("cuMemAlloc_v2", driver.MemAlloc);
  find("cuMemFree_v2", driver.MemFree);
  find("cuMemsetD8Async", driver.MemsetD8Async);
  find("cuMemcpyAsync", driver.MemcpyAsync);
  if (!missing.empty()) return Unavailable("the NVIDIA driver is too old: it lacks {}", missing);
  const Status started = driver.Check(driver.Init(0), "cuInit");
  if (!started.ok()) return Unavailable("the NVIDIA driver cannot start: {}", Message(started));
  return driver;
}

Status Driver::Check(CUresult result, std::string_view call) const {
  if (result == CUDA_SUCCESS) return OkStatus();
  const char* name = nullptr;
  const char* text = nullptr;
  GetErrorName(result, &name);
  GetErrorString(result, &text);
  const std::string message = fmt::format("{}: {} ({})", call, name ? name : "an unknown error",
                                          text ? text : std::to_string(result));
  const bool memory = result == CUDA_ERROR_OUT_OF_MEMORY;
  return MakeStatus(memory ? StatusCode::kResourceExhausted : StatusCode::kInternal, message);
}

}  // namespace banyan::cuda
