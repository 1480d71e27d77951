// SPDX-License-Identifier: Apache-2.0
// ThreadPool: the CPU's compute threads, pinned to the cores given, made once. For work that is
// split evenly and waited for at once (one op of a forward pass): handing out costs about a
// microsecond, idle threads spin shortly and then sleep.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace banyan {

// The cores that this process may use, by affinity and by the cgroup's quota (rounded up), lowest
// first.
std::vector<int> UsableCores();

class ThreadPool {
 public:
  // One worker per core of `cores` but the first, which is the caller's own. Pinning that fails is
  // logged once, not an error.
  explicit ThreadPool(std::vector<int> cores, std::string name = "compute");
  ~ThreadPool();

  int size() const;  // threads that take part, the caller's included

  // Calls fn(begin, end) on parts of [0, n) of at least `grain` items each, on all threads, and
  // returns when all are done. Not reentrant: one ParallelFor at a time. fn must not throw.
  void ParallelFor(int64_t n, int64_t grain,
                   const std::function<void(int64_t begin, int64_t end)>& fn);
  // Calls fn(thread) once on every thread.
  void RunOnAll(const std::function<void(int thread)>& fn);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace banyan
