// SPDX-License-Identifier: Apache-2.0
// For tests of ops and kernels: a context with memory, threads and a table, and random tensors.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <new>
#include <numeric>
#include <random>
#include <vector>

#include "base/thread_pool.h"
#include "device/cpu/cpu_backend.h"
#include "ops/context.h"

namespace banyan::ops {

// What an executor holds. `threads` may exceed the cores: they then share core 0.
struct TestBench {
  explicit TestBench(const OpTable& ops, int threads = 1)
      : table(ops), pool(std::vector<int>(static_cast<std::size_t>(threads), UsableCores()[0])) {}
  TestBench(const OpTable& ops, std::vector<int> cores) : table(ops), pool(std::move(cores)) {}
  OpContext context() { return {backend.get(), &table, &pool, &scratch}; }

  std::unique_ptr<Backend> backend = MakeCpuBackend();
  OpTable table;
  ThreadPool pool;
  Scratch scratch{backend.get()};
};

// Memory that ends where a page without access begins: a kernel that reads or writes beyond its
// tensor dies on the spot. (Sanitizers do not look into the kernels.)
template <typename T>
struct GuardedAllocator {
  using value_type = T;

  T* allocate(std::size_t count) {
    const std::size_t page = PageSize(), size = MappedSize(count);
    void* begin = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (begin == MAP_FAILED) throw std::bad_alloc();
    std::byte* guard = static_cast<std::byte*>(begin) + size - page;
    if (mprotect(guard, page, PROT_NONE) != 0) throw std::bad_alloc();
    return reinterpret_cast<T*>(guard) - count;
  }
  void deallocate(T* data, std::size_t count) {
    const std::size_t size = MappedSize(count);
    munmap(reinterpret_cast<std::byte*>(data + count) + PageSize() - size, size);
  }
  bool operator==(const GuardedAllocator&) const { return true; }

 private:
  static std::size_t PageSize() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }
  static std::size_t MappedSize(std::size_t count) {
    const std::size_t page = PageSize();
    return (count * sizeof(T) + page - 1) / page * page + page;
  }
};

// Owns an f32 tensor whose rows lie `pad` floats apart. Padding is filled with a mark.
struct TestTensor {
  static constexpr float kMark = 12345.0f;

  explicit TestTensor(Shape shape, int64_t pad = 0) {
    const int64_t dim = shape[-1];
    const int64_t rows = shape.NumElements() / std::max<int64_t>(dim, 1);
    data.assign(static_cast<std::size_t>(rows * (dim + pad)), kMark);
    Shape strides = shape;
    int64_t stride = dim + pad;
    strides[-1] = 1;
    for (int i = shape.rank() - 2; i >= 0; --i) {
      strides[i] = stride;
      stride *= shape[i];
    }
    view = Tensor(data.data(), DType::kF32, shape, strides);
  }
  TestTensor(const TestTensor&) = delete;
  TestTensor& operator=(const TestTensor&) = delete;

  template <typename Rng>
  TestTensor& Fill(Rng& rng, float scale = 1.0f) {
    std::normal_distribution<float> normal(0.0f, scale);
    ForEach([&](float& x) { x = normal(rng); });
    return *this;
  }
  // In order, padding left out.
  template <typename Fn>
  void ForEach(Fn&& fn) {
    const int64_t dim = view.dim(-1);
    const int64_t step = view.rank() == 1 ? dim : view.stride(-2);
    for (std::size_t begin = 0; begin < data.size(); begin += static_cast<std::size_t>(step))
      for (int64_t i = 0; i < dim; ++i) fn(data[begin + static_cast<std::size_t>(i)]);
  }
  std::vector<float> Values() {
    std::vector<float> values;
    ForEach([&](float& x) { values.push_back(x); });
    return values;
  }
  bool PaddingIntact() {
    std::size_t marks = 0;
    for (float x : data) marks += x == kMark ? 1 : 0;
    return marks >= data.size() - static_cast<std::size_t>(view.NumElements());
  }

  std::vector<float, GuardedAllocator<float>> data;
  Tensor view;
};

inline bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace banyan::ops
