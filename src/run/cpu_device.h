// SPDX-License-Identifier: Apache-2.0
// CpuDevice: what one CPU executor runs on: memory, kernels at one instruction set level, compute
// threads, scratch.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/thread_pool.h"
#include "device/backend.h"
#include "ops/context.h"

namespace banyan {

class CpuDevice {
 public:
  // `isa`: a value of --cpu-isa; `threads`: 0 for all cores that the process may use. Of several
  // devices, device `part` gets its share of them, or where there are too few one that it shares.
  // kInvalidArgument or kFailedPrecondition when the machine cannot.
  static StatusOr<std::unique_ptr<CpuDevice>> Create(std::string_view isa, int threads,
                                                     int part = 0, int parts = 1);

  const ops::OpContext& context() const { return context_; }
  Backend& backend() const { return *backend_; }
  ThreadPool& pool() { return *pool_; }
  const ops::Scratch& scratch() const { return *scratch_; }
  const std::string& description() const { return description_; }

 private:
  CpuDevice() = default;

  std::unique_ptr<Backend> backend_;
  ops::OpTable table_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<ops::Scratch> scratch_;
  ops::WeightOrder order_;
  ops::OpContext context_;
  std::string description_;
};

}  // namespace banyan
