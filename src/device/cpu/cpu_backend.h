// SPDX-License-Identifier: Apache-2.0
// The CPU as a Backend: memory from the heap's big brother (anonymous mappings, huge pages where
// the system gives them), copies by memcpy, nothing to wait for.
#pragma once

#include <memory>

#include "device/backend.h"

namespace banyan {

// Thread-safe. Memory that it gave out may outlive it.
std::unique_ptr<Backend> MakeCpuBackend();

// Bytes of memory that this process can use in all: the machine's, or the cgroup's limit.
std::size_t UsableMemory();

}  // namespace banyan
