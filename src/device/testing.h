// SPDX-License-Identifier: Apache-2.0
// LimitedBackend: for tests, the CPU's backend with so many bytes and no more.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "device/cpu/cpu_backend.h"

namespace banyan {

class LimitedBackend final : public Backend {
 public:
  explicit LimitedBackend(std::size_t bytes) : limit_(bytes) {}
  // What may be held from now on; what is held already stays.
  void set_limit(std::size_t bytes) { limit_ = bytes; }
  std::size_t held() const { return *held_; }

  DeviceKind kind() const override { return cpu_->kind(); }
  std::string Describe() const override { return cpu_->Describe(); }
  StatusOr<Buffer> Allocate(std::size_t bytes, std::string_view what,
                            std::size_t alignment) override {
    if (*held_ + bytes > limit_)
      return ResourceExhausted("no memory for {} ({} bytes)", what, bytes);
    BANYAN_ASSIGN_OR_RETURN(Buffer memory, cpu_->Allocate(bytes, what, alignment));
    *held_ += bytes;
    void* const data = memory.data();
    // The deleter keeps the memory, and the count for as long as there is any.
    auto kept = std::make_shared<Buffer>(std::move(memory));
    return Buffer(data, bytes,
                  [kept = std::move(kept), held = held_](void*, std::size_t size) mutable {
                    kept.reset();
                    *held -= size;
                  });
  }
  std::size_t AvailableMemory() const override { return limit_ > *held_ ? limit_ - *held_ : 0; }
  void Copy(void* to, const void* from, std::size_t bytes) override { cpu_->Copy(to, from, bytes); }
  Status Synchronize() override { return OkStatus(); }

 private:
  std::unique_ptr<Backend> cpu_ = MakeCpuBackend();
  std::size_t limit_;
  std::shared_ptr<std::atomic<std::size_t>> held_ =
      std::make_shared<std::atomic<std::size_t>>(std::size_t{0});
};

}  // namespace banyan
