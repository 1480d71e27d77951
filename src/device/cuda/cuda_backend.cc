// SPDX-License-Identifier: Apache-2.0
#include "device/cuda/cuda_backend.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <fstream>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "device/cuda/driver.h"

namespace banyan {
namespace {

using cuda::CUcontext;
using cuda::CUdevice;
using cuda::CUdeviceptr;
using cuda::CUstream;
using cuda::Driver;

constexpr std::size_t kDriverAlignment = 256;  // of every cuMemAlloc

CUdeviceptr Address(const void* pointer) { return reinterpret_cast<CUdeviceptr>(pointer); }

double GiB(std::size_t bytes) { return static_cast<double>(bytes) / 0x1p30; }

// The driver API knows the newest CUDA only; the driver's own version is the kernel module's, which
// some containers hide.
StatusOr<std::string> DriverVersion(const Driver& driver) {
  int cuda = 0;
  BANYAN_RETURN_IF_ERROR(driver.Check(driver.DriverGetVersion(&cuda), "cuDriverGetVersion"));
  std::string version;
  std::ifstream("/sys/module/nvidia/version") >> version;
  return fmt::format("{} (CUDA {}.{})", version.empty() ? "of unknown version" : version,
                     cuda / 1000, cuda % 1000 / 10);
}

StatusOr<CudaGpu> Inspect(const Driver& driver, int ordinal, std::string driver_version) {
  CudaGpu gpu = {.ordinal = ordinal, .driver = std::move(driver_version)};
  CUdevice device = 0;
  BANYAN_RETURN_IF_ERROR(driver.Check(driver.DeviceGet(&device, ordinal), "cuDeviceGet"));
  std::array<char, 256> name = {};
  BANYAN_RETURN_IF_ERROR(
      driver.Check(driver.DeviceGetName(name.data(), name.size() - 1, device), "cuDeviceGetName"));
  gpu.name = name.data();
  BANYAN_RETURN_IF_ERROR(
      driver.Check(driver.DeviceTotalMem(&gpu.memory, device), "cuDeviceTotalMem"));
  BANYAN_RETURN_IF_ERROR(driver.Check(
      driver.DeviceGetAttribute(&gpu.compute_major,
                                cuda::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device),
      "cuDeviceGetAttribute"));
  BANYAN_RETURN_IF_ERROR(driver.Check(
      driver.DeviceGetAttribute(&gpu.compute_minor,
                                cuda::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device),
      "cuDeviceGetAttribute"));
  return gpu;
}

StatusOr<std::vector<CudaGpu>> FindGpus(const Driver& driver) {
  int count = 0;
  BANYAN_RETURN_IF_ERROR(driver.Check(driver.DeviceGetCount(&count), "cuDeviceGetCount"));
  if (count == 0) return Unavailable("the NVIDIA driver shows no GPU");
  BANYAN_ASSIGN_OR_RETURN(const std::string version, DriverVersion(driver));
  std::vector<CudaGpu> gpus;
  for (int ordinal = 0; ordinal < count; ++ordinal) {
    BANYAN_ASSIGN_OR_RETURN(CudaGpu gpu, Inspect(driver, ordinal, version));
    gpus.push_back(std::move(gpu));
  }
  return gpus;
}

// A use of the device, held by the backend and by the memory that it gave out. The context is the
// primary one, which libraries opened at run time (cuBLASLt, NCCL) use too.
struct Use {
  Driver driver = {};
  CUdevice device = 0;
  CUcontext context = nullptr;
  CUstream stream = nullptr;

  Status Start(int ordinal);
  ~Use();
};

// Makes the context current on this thread while it lives; the caller's own comes back after.
class Current {
 public:
  explicit Current(const Use& use)
      : driver_(use.driver),
        status_(driver_.Check(driver_.CtxPushCurrent(use.context), "cuCtxPushCurrent")) {}
  ~Current() {
    CUcontext popped = nullptr;
    if (status_.ok()) driver_.CtxPopCurrent(&popped);
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;
  const Status& status() const { return status_; }

 private:
  const Driver& driver_;
  const Status status_;
};

Status Use::Start(int ordinal) {
  BANYAN_RETURN_IF_ERROR(driver.Check(driver.DeviceGet(&device, ordinal), "cuDeviceGet"));
  BANYAN_RETURN_IF_ERROR(
      driver.Check(driver.DevicePrimaryCtxRetain(&context, device), "cuDevicePrimaryCtxRetain"));
  const Current current(*this);
  BANYAN_RETURN_IF_ERROR(current.status());
  return driver.Check(driver.StreamCreate(&stream, cuda::CU_STREAM_NON_BLOCKING), "cuStreamCreate");
}

// What fails here fails because the context is lost, and its memory and streams with it.
Use::~Use() {
  if (stream != nullptr) {
    const Current current(*this);
    if (current.status().ok()) driver.StreamDestroy(stream);
  }
  if (context != nullptr) driver.DevicePrimaryCtxRelease(device);
}

class CudaBackend : public Backend {
 public:
  CudaBackend(std::shared_ptr<const Use> use, CudaGpu gpu)
      : use_(std::move(use)), driver_(use_->driver), gpu_(std::move(gpu)) {}

  DeviceKind kind() const override { return DeviceKind::kCuda; }

  std::string Describe() const override {
    return fmt::format("{}, {:.1f} GiB available", banyan::Describe(gpu_), GiB(AvailableMemory()));
  }

  StatusOr<Buffer> Allocate(std::size_t bytes, std::string_view what,
                            std::size_t alignment) override {
    BANYAN_CHECK(alignment >= 64 && std::has_single_bit(alignment), "alignment {}", alignment);
    bytes = std::max<std::size_t>(bytes, 1);
    const std::size_t slack = alignment > kDriverAlignment ? alignment : 0;
    if (bytes > gpu_.memory || slack > gpu_.memory - bytes) {
      return ResourceExhausted("no memory for {}: {} bytes asked, {} in all", what, bytes,
                               gpu_.memory);
    }
    const Current current(*use_);
    BANYAN_RETURN_IF_ERROR(current.status());
    CUdeviceptr block = 0;
    const Status taken = driver_.Check(driver_.MemAlloc(&block, bytes + slack), "cuMemAlloc");
    if (!taken.ok()) return Annotate(taken, fmt::format("{} bytes for {}", bytes, what));
    const CUdeviceptr aligned = (block + alignment - 1) / alignment * alignment;
    Buffer buffer(reinterpret_cast<void*>(aligned), bytes, [use = use_, block](void*, std::size_t) {
      const Current freeing(*use);
      if (freeing.status().ok()) use->driver.MemFree(block);
    });
    BANYAN_RETURN_IF_ERROR(
        driver_.Check(driver_.MemsetD8Async(aligned, 0, bytes, use_->stream), "cuMemsetD8Async"));
    return buffer;
  }

  std::size_t AvailableMemory() const override {
    const Current current(*use_);
    std::size_t free = 0;
    std::size_t total = 0;
    if (!current.status().ok()) return 0;
    return driver_.MemGetInfo(&free, &total) == cuda::CUDA_SUCCESS ? free : 0;
  }

  void Copy(void* to, const void* from, std::size_t bytes) override {
    if (bytes == 0) return;
    const Current current(*use_);
    Status status = current.status();
    if (status.ok()) {
      status = driver_.Check(driver_.MemcpyAsync(Address(to), Address(from), bytes, use_->stream),
                             "cuMemcpyAsync");
    }
    if (status.ok()) return;
    const std::lock_guard lock(mutex_);
    if (copy_failure_.ok()) copy_failure_ = std::move(status);
  }

  Status Synchronize() override {
    const Current current(*use_);
    Status status = current.status();
    if (status.ok()) {
      status = driver_.Check(driver_.StreamSynchronize(use_->stream), "cuStreamSynchronize");
    }
    const std::lock_guard lock(mutex_);
    const Status copied = std::exchange(copy_failure_, OkStatus());
    return copied.ok() ? status : copied;
  }

 private:
  const std::shared_ptr<const Use> use_;
  const Driver& driver_;
  const CudaGpu gpu_;
  std::mutex mutex_;
  Status copy_failure_;  // the first since the last Synchronize
};

}  // namespace

std::string Describe(const CudaGpu& gpu) {
  return fmt::format("cuda:{} {}, {:.1f} GiB memory, compute capability {}.{}, driver {}",
                     gpu.ordinal, gpu.name, GiB(gpu.memory), gpu.compute_major, gpu.compute_minor,
                     gpu.driver);
}

StatusOr<std::vector<CudaGpu>> FindCudaGpus() {
  BANYAN_ASSIGN_OR_RETURN(const Driver driver, Driver::Open());
  return FindGpus(driver);
}

StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(int ordinal) {
  auto use = std::make_shared<Use>();
  BANYAN_ASSIGN_OR_RETURN(use->driver, Driver::Open());
  BANYAN_ASSIGN_OR_RETURN(std::vector<CudaGpu> gpus, FindGpus(use->driver));
  if (ordinal < 0 || ordinal >= static_cast<int>(gpus.size())) {
    return NotFound("no GPU {}: the NVIDIA driver shows {}, from 0 on", ordinal, gpus.size());
  }
  const Status started = use->Start(ordinal);
  if (!started.ok()) return Annotate(started, fmt::format("GPU {} cannot be used", ordinal));
  return std::make_unique<CudaBackend>(std::move(use), std::move(gpus[ordinal]));
}

}  // namespace banyan
