// SPDX-License-Identifier: Apache-2.0
// ThreadPool: the CPU's compute threads, pinned to the cores given, made once. For work that is
// split evenly and waited for at once (one op of a forward pass): handing out costs about a
// microsecond, idle threads spin shortly and then sleep.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

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
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;  // threads that take part, the caller's included

  // Pins the calling thread to the first core: for the thread that will make the calls below.
  bool PinCaller();

  // Calls fn(begin, end) on disjoint parts of [0, n) of at least `grain` items each, on all
  // threads, and returns when all are done. Threads take parts as they become free: one large one
  // each, so that memory is read in long runs, then smaller and smaller ones. fn must not
  // throw. A call from within fn, or while another thread's call is under way, runs fn(0, n) on its
  // own thread.
  void ParallelFor(int64_t n, int64_t grain,
                   const std::function<void(int64_t begin, int64_t end)>& fn);
  // What a call soon to come will read from front to back. Until it comes, workers that have
  // nothing to do fetch the beginning of their parts of it into their caches. A hint: the memory
  // may be gone by then; nothing is read where `data` is empty.
  void ReadAhead(std::span<const std::byte> data);

  // Calls fn(thread) once on every thread, 0 being the caller's. Not from within a call.
  void RunOnAll(const std::function<void(int thread)>& fn);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace banyan
