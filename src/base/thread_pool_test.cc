// SPDX-License-Identifier: Apache-2.0
#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

namespace banyan {
namespace {

// More threads than the machine has cores, so that workers come late.
std::vector<int> Cores(int count) {
  const std::vector<int> usable = UsableCores();
  std::vector<int> cores;
  for (int i = 0; i < count; ++i)
    cores.push_back(usable[static_cast<std::size_t>(i) % usable.size()]);
  return cores;
}

TEST(ThreadPool, EachItemOnceAtEverySize) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(Cores(threads));
    EXPECT_EQ(pool.size(), threads);
    for (int64_t n : {0, 1, 2, 3, 7, 64, 1000}) {
      for (int64_t grain : {0, 1, 3, 100}) {
        std::vector<std::atomic<int>> hits(static_cast<std::size_t>(n));
        std::atomic<int> small{0};
        pool.ParallelFor(n, grain, [&](int64_t begin, int64_t end) {
          if (end - begin < std::min(n, grain)) ++small;
          for (int64_t i = begin; i < end; ++i) ++hits[static_cast<std::size_t>(i)];
        });
        EXPECT_EQ(small, 0) << n << " " << grain;
        for (const auto& hit : hits) EXPECT_EQ(hit, 1);
      }
    }
  }
}

// Jobs of changing size with nothing between them: a late worker of one must not touch the next.
TEST(ThreadPool, ManySmallJobs) {
  ThreadPool pool(Cores(4));
  for (int round = 0; round < 20000; ++round) {
    const int64_t n = 1 + round * 7 % 50;
    std::atomic<int64_t> sum{0};
    pool.ParallelFor(n, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) sum += i + round;
    });
    ASSERT_EQ(sum, n * (n - 1) / 2 + n * round);
    if (round % 100 == 0) {
      std::vector<std::atomic<int>> ran(4);
      pool.RunOnAll([&](int thread) { ++ran[static_cast<std::size_t>(thread)]; });
      for (const auto& count : ran) ASSERT_EQ(count, 1);
    }
  }
}

// Of items that take as long, no thread does much more than its share.
TEST(ThreadPool, PartsAreShared) {
  for (const int threads : {2, 4, 7}) {
    ThreadPool pool(Cores(threads));
    for (const int64_t n : {36, 60, 192, 1000}) {
      std::mutex mutex;
      std::vector<int64_t> parts;
      pool.ParallelFor(n, 1, [&](int64_t begin, int64_t end) {
        std::lock_guard lock(mutex);
        parts.push_back(end - begin);
      });
      // As if each thread took the next part when it is done with its last.
      std::sort(parts.rbegin(), parts.rend());
      std::vector<int64_t> shares(static_cast<std::size_t>(threads));
      for (const int64_t part : parts) *std::min_element(shares.begin(), shares.end()) += part;
      EXPECT_LE(*std::max_element(shares.begin(), shares.end()), n / threads + 2)
          << n << " items on " << threads << " threads";
    }
  }
}

TEST(ThreadPool, HugeCountsFitTheClaimWord) {
  ThreadPool pool(Cores(2));
  const int64_t n = (int64_t{1} << 33) + 5;
  std::atomic<int64_t> total{0};
  pool.ParallelFor(n, n / 10, [&](int64_t begin, int64_t end) { total += end - begin; });
  EXPECT_EQ(total, n);
}

TEST(ThreadPool, NestedAndConcurrentCallsRunInline) {
  ThreadPool pool(Cores(2));
  std::atomic<int64_t> total{0};
  const auto count = [&](int64_t begin, int64_t end) { total += end - begin; };
  pool.ParallelFor(8, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) pool.ParallelFor(10, 1, count);
  });
  EXPECT_EQ(total, 80);
  total = 0;
  std::thread other([&] {
    for (int i = 0; i < 1000; ++i) pool.ParallelFor(16, 1, count);
  });
  for (int i = 0; i < 1000; ++i) pool.ParallelFor(16, 1, count);
  other.join();
  EXPECT_EQ(total, 32000);
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

TEST(ThreadPool, IdleThreadsSleep) {
  ThreadPool pool(Cores(4));
  pool.RunOnAll([](int) {});
  const double before = CpuSeconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_LT(CpuSeconds() - before, 0.02);
  std::atomic<int> woken{0};
  pool.RunOnAll([&](int) { ++woken; });
  EXPECT_EQ(woken, 4);
}

TEST(ThreadPool, ReadingAheadIsOnlyAHint) {
  ThreadPool pool(Cores(2));
  const std::vector<std::byte> some(5000);
  const auto* nowhere = reinterpret_cast<const std::byte*>(4096);  // not mapped
  for (const auto data :
       {std::span<const std::byte>(some), std::span<const std::byte>(some).first(1),
        std::span<const std::byte>(nowhere, 1 << 20), std::span<const std::byte>()}) {
    pool.ReadAhead(data);
    std::atomic<int64_t> done{0};
    pool.ParallelFor(100, 1, [&](int64_t begin, int64_t end) { done += end - begin; });
    EXPECT_EQ(done, 100);
  }
}

TEST(ThreadPool, UsableCoresAreAscending) {
  const std::vector<int> cores = UsableCores();
  ASSERT_FALSE(cores.empty());
  for (std::size_t i = 1; i < cores.size(); ++i) EXPECT_LT(cores[i - 1], cores[i]);
}

}  // namespace
}  // namespace banyan
