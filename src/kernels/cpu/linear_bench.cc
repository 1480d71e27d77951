// SPDX-License-Identifier: Apache-2.0
// How close matrix products come to what the machine can do:
//   linear_bench [level [format [rows cols [threads]]]]
// Decode (few tokens) as GB/s of weights next to a plain read of as many bytes in the same run;
// prefill as GFLOP/s. Each figure is the best of several short runs, so that other work on the
// machine disturbs it little; with one thread it is that thread's processor time.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <random>
#include <vector>

#include "base/thread_pool.h"
#include "device/cpu/cpu_backend.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/table.h"
#include "ops/linear.h"

namespace banyan::kernels {
namespace {

constexpr int kRounds = 9;
// More than the second-level caches hold; about what a small model reads per token.
constexpr int64_t kWorkingSet = 96 << 20;

double Now(const ThreadPool& pool) {
  timespec now{};
  clock_gettime(pool.size() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

template <typename Fn>
double BestSeconds(const ThreadPool& pool, const Fn& fn) {
  double best = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    const double begin = Now(pool);
    fn();
    best = std::min(best, Now(pool) - begin);
  }
  return best;
}

double ReadBytesPerSecond(ThreadPool& pool, const std::byte* data, int64_t bytes) {
  volatile uint64_t sink = 0;
  const double seconds = BestSeconds(pool, [&] {
    pool.ParallelFor(bytes / 4096, 64, [&](int64_t begin, int64_t end) {
      uint64_t sum[8] = {};
      for (int64_t i = begin * 4096; i < end * 4096; i += 64) {
        uint64_t line[8];
        std::memcpy(line, data + i, 64);
        for (int k = 0; k < 8; ++k) sum[k] += line[k];
      }
      uint64_t total = 0;
      for (uint64_t part : sum) total ^= part;
      if (total == 42) sink = total;
    });
  });
  return static_cast<double>(bytes) / seconds;
}

struct Matrix {
  Buffer memory;
  PackedWeight packed;
};

// Blocks of zeros but for their scales: speed does not depend on the codes.
StatusOr<Matrix> MakeMatrix(const ops::OpContext& context, DType dtype, int64_t rows, int64_t cols,
                            DType compute) {
  Matrix matrix;
  BANYAN_ASSIGN_OR_RETURN(
      matrix.memory,
      context.backend->Allocate(static_cast<std::size_t>(Bytes(dtype, rows * cols)), "a matrix"));
  // Memory never written to is one page of zeros, many times over.
  std::memset(matrix.memory.data(), 0, matrix.memory.size());
  const Tensor tensor(matrix.memory.data(), dtype, {rows, cols});
  BANYAN_ASSIGN_OR_RETURN(matrix.packed, ops::PackLinear(context, {&tensor, 1}, compute));
  if (!matrix.packed.owned.empty()) matrix.memory = Buffer();
  return matrix;
}

Status Bench(IsaLevel level, DType dtype, DType compute, int64_t rows, int64_t cols,
             std::vector<int> cores) {
  BANYAN_ASSIGN_OR_RETURN(const ops::OpTable table, MakeCpuTable(level));
  const std::unique_ptr<Backend> backend = MakeCpuBackend();
  ThreadPool pool(std::move(cores));
  pool.PinCaller();
  ops::Scratch scratch(backend.get());
  const ops::OpContext context{backend.get(), &table, &pool, &scratch};
  const int64_t bytes = Bytes(dtype, rows * cols);
  const int64_t count = std::max<int64_t>(1, kWorkingSet / bytes);
  std::vector<Matrix> matrices;
  for (int64_t i = 0; i < count; ++i) {
    BANYAN_ASSIGN_OR_RETURN(Matrix matrix, MakeMatrix(context, dtype, rows, cols, compute));
    matrices.push_back(std::move(matrix));
  }
  BANYAN_ASSIGN_OR_RETURN(const Buffer plain,
                          backend->Allocate(static_cast<std::size_t>(count * bytes), "a read"));
  std::memset(plain.data(), 1, plain.size());

  constexpr int64_t kTokens[] = {1, 2, 4, 8, 16, 32, 64, 512};
  std::vector<float> x(static_cast<std::size_t>(512 * cols));
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (float& value : x) value = normal(random);
  std::vector<float> out(static_cast<std::size_t>(512 * rows));
  const double read = ReadBytesPerSecond(pool, plain.data(), static_cast<int64_t>(plain.size()));
  std::string line = fmt::format("{:16} {:5} {:5} [{}, {}] read {:.1f} GB/s |", ops::Name(level),
                                 Name(dtype), Name(compute), rows, cols, read * 1e-9);
  for (int64_t n : kTokens) {
    // Few tokens pass over the whole set; many over one matrix, whose arithmetic is enough.
    const std::size_t used = n <= 8 ? matrices.size() : 1;
    const double seconds = BestSeconds(pool, [&] {
      for (std::size_t i = 0; i < used; ++i) {
        ops::Linear(context, Tensor(x.data(), DType::kF32, {n, cols}), matrices[i].packed, Tensor(),
                    Tensor(out.data(), DType::kF32, {n, rows}));
        scratch.Reset();
      }
    });
    const auto passes = static_cast<double>(used);
    const double rate = passes * static_cast<double>(bytes) / seconds;
    const double flops = passes * 2.0 * static_cast<double>(n * rows * cols) / seconds;
    line += n <= 8 ? fmt::format(" n={} {:.1f} GB/s ({:.2f})", n, rate * 1e-9, rate / read)
                   : fmt::format(" n={} {:.0f} GFLOP/s", n, flops * 1e-9);
  }
  std::puts(line.c_str());
  std::fflush(stdout);
  return OkStatus();
}

Status Main(int argc, char** argv) {
  std::vector<IsaLevel> levels;
  if (argc > 1) {
    BANYAN_ASSIGN_OR_RETURN(const IsaLevel level, ParseIsa(argv[1]));
    levels.push_back(level);
  } else {
    for (int i = 1; i <= static_cast<int>(DetectIsa()); ++i)
      levels.push_back(static_cast<IsaLevel>(i));
  }
  const std::string_view only = argc > 2 ? argv[2] : "";
  const int64_t rows = argc > 4 ? std::atoll(argv[3]) : 3072;
  const int64_t cols = argc > 4 ? std::atoll(argv[4]) : 768;
  std::vector<int> cores = UsableCores();
  if (argc > 5) cores.resize(std::min(cores.size(), static_cast<std::size_t>(std::atoi(argv[5]))));
  std::puts(DescribeCpu(DetectIsa()).c_str());
  for (IsaLevel level : levels) {
    for (int i = 0; i < static_cast<int>(DType::kCount); ++i) {
      const auto dtype = static_cast<DType>(i);
      const bool plain = dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
      if (!plain && !IsQuantized(dtype)) continue;
      if (!only.empty() && only != Name(dtype)) continue;
      if (cols % Info(dtype).block_elements != 0) continue;
      BANYAN_RETURN_IF_ERROR(Bench(level, dtype, DType::kF32, rows, cols, cores));
      if (dtype == DType::kBF16) {
        BANYAN_RETURN_IF_ERROR(Bench(level, dtype, DType::kBF16, rows, cols, cores));
      }
    }
  }
  return OkStatus();
}

}  // namespace
}  // namespace banyan::kernels

int main(int argc, char** argv) {
  const banyan::Status status = banyan::kernels::Main(argc, argv);
  if (!status.ok()) std::fprintf(stderr, "%s\n", banyan::Message(status).c_str());
  return status.ok() ? 0 : 1;
}
