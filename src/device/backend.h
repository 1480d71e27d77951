// SPDX-License-Identifier: Apache-2.0
// Backend: memory, streams, events and copies of one kind of device. No mathematics here: that is
// ops/ and kernels/.
//
// A backend is made once per device and outlives everything that was allocated from it. Allocate
// fails with kResourceExhausted, never by throwing: out of memory is an admission decision.
// Thread-safe unless a method says otherwise. The CPU backend runs everything at once on the
// caller's thread; its streams and events are empty.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "tensor/buffer.h"

namespace banyan {

enum class DeviceKind : unsigned char { kCpu, kCuda };

class Backend {
 public:
  virtual ~Backend() = default;

  virtual DeviceKind kind() const = 0;
  virtual std::string Describe() const = 0;  // one line for the log and `banyan doctor`

  // Zeroed memory aligned to `alignment` (at least 64). `what` names it in the error.
  virtual StatusOr<Buffer> Allocate(std::size_t bytes, std::string_view what,
                                    std::size_t alignment = 64) = 0;
  // Bytes that could still be allocated, as far as the device (or the cgroup) tells.
  virtual std::size_t AvailableMemory() const = 0;

  virtual void Copy(void* to, const void* from,
                    std::size_t bytes) = 0;  // within the device, in stream order
  virtual Status Synchronize() = 0;          // waits for all work given so far
};

}  // namespace banyan
