// SPDX-License-Identifier: Apache-2.0
#include "base/thread_pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <cmath>
#include <fstream>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "base/log.h"

namespace banyan {
namespace {

// How long an idle worker watches for the next op before it sleeps: longer than the serial parts
// between the ops of a step, far shorter than the time between requests.
constexpr auto kSpin = std::chrono::microseconds(100);
constexpr int kSpinsPerLook = 64;         // at the clock
constexpr uint64_t kClosed = 0xffffffff;  // no unit is left to take
// Of its part of what comes next, a worker reads ahead so much: a fraction of a second-level cache,
// and more than it takes to keep the memory busy between two ops.
constexpr int64_t kReadAheadBytes = 128 << 10;
constexpr int64_t kLine = 64;
constexpr int kLinesAtOnce = 4;  // between two looks at the ticket

void Pause() { __builtin_ia32_pause(); }

void FutexWait(std::atomic<uint32_t>& word, uint32_t expected) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

void FutexWakeAll(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

// Processors that a quota in microseconds per period stands for; +infinity for none.
double QuotaOf(const std::string& quota_text, double period) {
  if (quota_text.empty() || quota_text == "max" || quota_text[0] == '-' || period <= 0) {
    return HUGE_VAL;
  }
  return std::strtod(quota_text.c_str(), nullptr) / period;
}

// The narrowest CPU quota from this process's cgroup up to the root, version 2 or version 1.
double CgroupCpus() {
  std::ifstream groups("/proc/self/cgroup");
  std::string line;
  double cpus = HUGE_VAL;
  while (std::getline(groups, line)) {
    const std::size_t colon = line.find(':');
    const std::size_t second = line.find(':', colon + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(colon + 1, second - colon - 1);
    const bool v2 = controllers.empty();
    if (!v2 && fmt::format(",{},", controllers).find(",cpu,") == std::string::npos) continue;
    const std::string root = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu";
    std::string path = line.substr(second + 1);
    while (true) {
      if (path == "/") path.clear();
      std::string quota;
      double period = 0;
      if (v2) {
        std::ifstream(root + path + "/cpu.max") >> quota >> period;
      } else {
        std::ifstream(root + path + "/cpu.cfs_quota_us") >> quota;
        std::ifstream(root + path + "/cpu.cfs_period_us") >> period;
      }
      cpus = std::min(cpus, QuotaOf(quota, period));
      if (path.empty()) break;
      path.resize(path.rfind('/'));
    }
  }
  return cpus;
}

bool Pin(pthread_t thread, int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (core < 0 || core >= CPU_SETSIZE) return false;
  CPU_SET(core, &set);
  return pthread_setaffinity_np(thread, sizeof set, &set) == 0;
}

}  // namespace

std::vector<int> UsableCores() {
  std::vector<int> cores;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int i = 0; i < CPU_SETSIZE; ++i) {
      if (CPU_ISSET(i, &set)) cores.push_back(i);
    }
  }
  if (cores.empty()) cores.push_back(0);
  const double quota = std::ceil(CgroupCpus());
  if (quota >= 1 && quota < static_cast<double>(cores.size())) {
    cores.resize(static_cast<std::size_t>(quota));
  }
  return cores;
}

// A job is open while its epoch stands in `claim` and items are left. Threads take items by moving
// `claim` on, and the caller returns when all items are done; it never waits for a thread that
// took none. A thread that comes late fails to move `claim`, whose epoch is then another.
struct ThreadPool::Impl {
  std::vector<int> cores;
  std::vector<std::thread> workers;

  std::mutex callers;                           // held during a call
  alignas(64) std::atomic<uint64_t> claim{0};   // epoch << 32 | first unit not taken
  alignas(64) std::atomic<int64_t> done{0};     // items of this epoch, or threads of a RunOnAll
  alignas(64) std::atomic<uint32_t> ticket{0};  // moves with every job; what idle workers watch
  std::atomic<int> sleepers{0};
  std::atomic<bool> stop{false};

  // The open job. Written only while `claim` is closed, so that whoever reads a mixture of two
  // jobs fails to claim from either.
  std::atomic<const std::function<void(int64_t, int64_t)>*> range{nullptr};
  std::atomic<int64_t> items{0};
  std::atomic<int64_t> unit{1};   // items per unit, so that units fit 32 bits
  std::atomic<int64_t> grain{1};  // in units

  std::atomic<const std::byte*> soon{nullptr};  // of ReadAhead
  std::atomic<int64_t> soon_bytes{0};

  // The RunOnAll under way, and how many there were: each worker runs each once.
  std::atomic<const std::function<void(int)>*> all{nullptr};
  std::atomic<uint32_t> all_count{0};

  int64_t threads() const { return static_cast<int64_t>(cores.size()); }

  // The first part that each thread takes: three quarters of the job are shared out at once, so
  // that each thread reads one long run; the rest evens out what threads and items differ in.
  int64_t FirstPart(int64_t units) const { return units * 3 / (4 * threads()); }

  // Takes parts of the job of `epoch` until none is left: large ones first, down to the grain.
  void Work(uint32_t epoch) {
    while (true) {
      uint64_t seen = claim.load(std::memory_order_acquire);
      if (static_cast<uint32_t>(seen >> 32) != epoch) return;
      const int64_t n = items.load(std::memory_order_acquire);
      const int64_t per_unit = unit.load(std::memory_order_acquire);
      const int64_t smallest = grain.load(std::memory_order_acquire);
      const auto* fn = range.load(std::memory_order_acquire);
      const int64_t units = (n + per_unit - 1) / per_unit;
      const auto first = static_cast<int64_t>(seen & 0xffffffff);
      if (first >= units) return;
      const int64_t left = units - first;
      const int64_t part = FirstPart(units);
      int64_t take = std::max(smallest, first < threads() * part ? part : left / (2 * threads()));
      if (left - take < smallest) take = left;
      if (!claim.compare_exchange_weak(seen, seen + static_cast<uint64_t>(take),
                                       std::memory_order_acq_rel)) {
        continue;
      }
      const int64_t begin = first * per_unit;
      const int64_t end = std::min(n, (first + take) * per_unit);
      (*fn)(begin, end);
      done.fetch_add(end - begin, std::memory_order_acq_rel);
    }
  }

  void Announce() {
    ticket.fetch_add(1, std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst) > 0) FutexWakeAll(ticket);
  }

  // Watches `ticket` until it is no longer `seen`: reads ahead, spins, then sleeps.
  void AwaitTicket(uint32_t seen, int thread) {
    const std::byte* ahead = soon.load(std::memory_order_relaxed);
    const int64_t bytes = ahead == nullptr ? 0 : soon_bytes.load(std::memory_order_relaxed);
    int64_t at = thread * FirstPart(bytes) / kLine * kLine;
    const int64_t end = std::min(bytes, at + kReadAheadBytes);
    const auto until = std::chrono::steady_clock::now() + kSpin;
    do {
      for (int i = 0; i < kSpinsPerLook; ++i) {
        if (ticket.load(std::memory_order_acquire) != seen) return;
        if (at >= end) Pause();
        for (int line = 0; line < kLinesAtOnce && at < end; ++line, at += kLine) {
          __builtin_prefetch(ahead + at, 0, 2);
        }
      }
    } while (std::chrono::steady_clock::now() < until);
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    while (ticket.load(std::memory_order_seq_cst) == seen) FutexWait(ticket, seen);
    sleepers.fetch_sub(1, std::memory_order_seq_cst);
  }

  void AwaitDone(int64_t target) {
    for (int spins = 0; done.load(std::memory_order_acquire) != target; ++spins) {
      // A worker that the system has put aside needs this core more than the wait does.
      if (spins < 4096) {
        Pause();
      } else {
        sched_yield();
      }
    }
  }

  void WorkerLoop(int thread) {
    uint32_t seen = 0;
    uint32_t ran = 0;
    while (true) {
      AwaitTicket(seen, thread);
      seen = ticket.load(std::memory_order_acquire);
      if (stop.load(std::memory_order_acquire)) return;
      if (all_count.load(std::memory_order_acquire) != ran) {
        ++ran;
        (*all.load(std::memory_order_relaxed))(thread);
        done.fetch_add(1, std::memory_order_acq_rel);
        continue;
      }
      Work(static_cast<uint32_t>(claim.load(std::memory_order_acquire) >> 32));
    }
  }
};

ThreadPool::ThreadPool(std::vector<int> cores, std::string name) : impl_(std::make_unique<Impl>()) {
  BANYAN_CHECK(!cores.empty(), "a thread pool without cores");
  impl_->cores = std::move(cores);
  bool pinned = true;
  for (std::size_t i = 1; i < impl_->cores.size(); ++i) {
    impl_->workers.emplace_back([impl = impl_.get(), i] { impl->WorkerLoop(static_cast<int>(i)); });
    const pthread_t handle = impl_->workers.back().native_handle();
    pinned = Pin(handle, impl_->cores[i]) && pinned;
    pthread_setname_np(handle, fmt::format("{}-{}", name, i).substr(0, 15).c_str());
  }
  if (!pinned) LogWarning("threads \"{}\" could not be pinned to their cores", name);
}

ThreadPool::~ThreadPool() {
  impl_->stop.store(true, std::memory_order_release);
  impl_->Announce();
  for (std::thread& worker : impl_->workers) worker.join();
}

int ThreadPool::size() const { return static_cast<int>(impl_->cores.size()); }

bool ThreadPool::PinCaller() { return Pin(pthread_self(), impl_->cores[0]); }

void ThreadPool::ParallelFor(int64_t n, int64_t grain,
                             const std::function<void(int64_t begin, int64_t end)>& fn) {
  if (n <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  std::unique_lock<std::mutex> lock(impl_->callers, std::defer_lock);
  if (impl_->workers.empty() || n <= grain || !lock.try_lock()) {
    fn(0, n);
    return;
  }
  Impl& impl = *impl_;
  const int64_t unit = n / (int64_t{1} << 31) + 1;
  const auto epoch = static_cast<uint32_t>(impl.claim.load(std::memory_order_relaxed) >> 32) + 1;
  impl.claim.store(static_cast<uint64_t>(epoch) << 32 | kClosed, std::memory_order_release);
  impl.range.store(&fn, std::memory_order_release);
  impl.items.store(n, std::memory_order_release);
  impl.unit.store(unit, std::memory_order_release);
  impl.grain.store(std::max<int64_t>(grain / unit, 1), std::memory_order_release);
  impl.done.store(0, std::memory_order_release);
  impl.claim.store(static_cast<uint64_t>(epoch) << 32, std::memory_order_release);
  impl.Announce();
  impl.Work(epoch);
  impl.AwaitDone(n);
}

void ThreadPool::ReadAhead(std::span<const std::byte> data) {
  // A worker may see one without the other: it then asks for memory that nobody needs.
  impl_->soon_bytes.store(static_cast<int64_t>(data.size()), std::memory_order_relaxed);
  impl_->soon.store(data.data(), std::memory_order_relaxed);
}

void ThreadPool::RunOnAll(const std::function<void(int thread)>& fn) {
  std::lock_guard<std::mutex> lock(impl_->callers);
  Impl& impl = *impl_;
  impl.done.store(0, std::memory_order_relaxed);
  impl.all.store(&fn, std::memory_order_relaxed);
  impl.all_count.fetch_add(1, std::memory_order_release);
  impl.Announce();
  fn(0);
  impl.AwaitDone(static_cast<int64_t>(impl.workers.size()));
}

}  // namespace banyan
