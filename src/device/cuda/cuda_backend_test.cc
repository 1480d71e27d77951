// SPDX-License-Identifier: Apache-2.0
#include "device/cuda/cuda_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <thread>

namespace banyan {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr std::size_t kMiB = std::size_t{1} << 20;

std::vector<std::byte> Pattern(std::size_t bytes, unsigned seed) {
  std::vector<std::byte> pattern(bytes);
  for (std::size_t i = 0; i < bytes; ++i) {
    pattern[i] = static_cast<std::byte>((i * 2654435761u + seed) >> 7);
  }
  return pattern;
}

// Host to device, device to device, device to host; empty where a step fails.
std::vector<std::byte> ThereAndBack(Backend& backend, const std::vector<std::byte>& bytes) {
  StatusOr<Buffer> first = backend.Allocate(bytes.size(), "a test");
  StatusOr<Buffer> second = backend.Allocate(bytes.size(), "a test");
  if (!first.ok() || !second.ok()) return {};
  std::vector<std::byte> back(bytes.size(), std::byte{0xaa});
  backend.Copy(first->data(), bytes.data(), bytes.size());
  backend.Copy(second->data(), first->data(), bytes.size());
  backend.Copy(back.data(), second->data(), bytes.size());
  return backend.Synchronize().ok() ? back : std::vector<std::byte>();
}

TEST(FindCudaGpus, SaysWhyThereIsNone) {
  const auto gpus = FindCudaGpus();
  if (gpus.ok()) GTEST_SKIP() << "there is one: " << Describe(gpus->front());
  EXPECT_THAT(Message(gpus.status()),
              AnyOf(HasSubstr("built without CUDA"), HasSubstr("NVIDIA driver")));
  EXPECT_THAT(gpus.status().code(), AnyOf(StatusCode::kUnimplemented, StatusCode::kUnavailable));
  EXPECT_EQ(MakeCudaBackend(0).status(), gpus.status());
}

class CudaBackend : public ::testing::Test {
 protected:
  void SetUp() override {
    auto gpus = FindCudaGpus();
    if (!gpus.ok()) GTEST_SKIP() << "needs an NVIDIA GPU: " << Message(gpus.status());
    gpus_ = *std::move(gpus);
    auto backend = MakeCudaBackend(0);
    ASSERT_TRUE(backend.ok()) << backend.status();
    backend_ = *std::move(backend);
  }

  std::vector<CudaGpu> gpus_;
  std::unique_ptr<Backend> backend_;
};

TEST_F(CudaBackend, GivesZeroedAlignedMemory) {
  // Keeps the driver from giving the block that holds the small ones back and getting a clean one.
  const StatusOr<Buffer> anchor = backend_->Allocate(1, "a test");
  ASSERT_TRUE(anchor.ok()) << anchor.status();
  for (std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{1000}, 5 * kMiB + 1}) {
    for (std::size_t alignment : {std::size_t{64}, std::size_t{4096}, 4 * kMiB}) {
      for (int round = 0; round < 2; ++round) {  // the second finds what the first wrote
        StatusOr<Buffer> buffer = backend_->Allocate(bytes, "a test", alignment);
        ASSERT_TRUE(buffer.ok()) << buffer.status();
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer->data()) % alignment, 0u);
        std::vector<std::byte> host(bytes, std::byte{1});
        backend_->Copy(host.data(), buffer->data(), bytes);
        ASSERT_TRUE(backend_->Synchronize().ok());
        EXPECT_EQ(host, std::vector<std::byte>(bytes));
        const std::vector<std::byte> pattern = Pattern(bytes, 1);
        backend_->Copy(buffer->data(), pattern.data(), bytes);
        ASSERT_TRUE(backend_->Synchronize().ok());
      }
    }
  }
}

TEST_F(CudaBackend, CopiesThereAndBack) {
  for (std::size_t bytes : {std::size_t{1}, std::size_t{4097}, 64 * kMiB + 5}) {
    const std::vector<std::byte> pattern = Pattern(bytes, 7);
    EXPECT_EQ(ThereAndBack(*backend_, pattern), pattern) << bytes;
  }
}

TEST_F(CudaBackend, TellsOfAFailedCopyOnce) {
  StatusOr<Buffer> buffer = backend_->Allocate(kMiB, "a test");
  ASSERT_TRUE(buffer.ok());
  backend_->Copy(buffer->data(), buffer->data() + kMiB / 2, std::size_t{1} << 45);
  EXPECT_THAT(Message(backend_->Synchronize()), HasSubstr("cuMemcpyAsync: CUDA_ERROR"));
  EXPECT_TRUE(backend_->Synchronize().ok());
  EXPECT_EQ(ThereAndBack(*backend_, Pattern(99, 3)), Pattern(99, 3));
}

TEST_F(CudaBackend, RefusesWhatTheGpuLacks) {
  // All of its memory can never be had: the driver itself says no, to the others we do.
  const std::size_t all = gpus_[0].memory;
  for (std::size_t bytes : {all, all + 1, std::size_t{1} << 62, ~std::size_t{0}}) {
    const StatusOr<Buffer> buffer = backend_->Allocate(bytes, "the moon");
    ASSERT_FALSE(buffer.ok()) << bytes;
    EXPECT_EQ(buffer.status().code(), StatusCode::kResourceExhausted);
    EXPECT_THAT(Message(buffer.status()), HasSubstr("the moon"));
  }
  EXPECT_EQ(ThereAndBack(*backend_, Pattern(99, 3)), Pattern(99, 3));
}

TEST_F(CudaBackend, TakesMemoryBack) {
  // Eight times half of what is free: without giving back, the second or third would fail.
  const std::size_t half = backend_->AvailableMemory() / 2;
  for (int round = 0; round < 8; ++round) {
    const StatusOr<Buffer> buffer = backend_->Allocate(half, "half of it");
    ASSERT_TRUE(buffer.ok()) << round << ": " << buffer.status();
    EXPECT_LT(backend_->AvailableMemory(), half + half / 2);
  }
}

TEST_F(CudaBackend, TwoInOneProcess) {
  auto other = MakeCudaBackend(0);
  ASSERT_TRUE(other.ok()) << other.status();
  const auto work = [](Backend& backend, unsigned seed, int& right) {
    for (int round = 0; round < 50; ++round) {
      const std::vector<std::byte> pattern = Pattern(kMiB + seed, seed + round);
      right += ThereAndBack(backend, pattern) == pattern;
    }
  };
  int right[2] = {};
  std::thread first([&] { work(*backend_, 1, right[0]); });
  std::thread second([&] { work(**other, 1000, right[1]); });
  first.join();
  second.join();
  EXPECT_EQ(right[0], 50);
  EXPECT_EQ(right[1], 50);

  // One goes, the other works on; both go, and the memory that the first gave out stays good.
  const std::vector<std::byte> pattern = Pattern(kMiB, 5);
  StatusOr<Buffer> kept = backend_->Allocate(kMiB, "a test");
  ASSERT_TRUE(kept.ok());
  backend_->Copy(kept->data(), pattern.data(), kMiB);
  ASSERT_TRUE(backend_->Synchronize().ok());
  backend_.reset();
  EXPECT_EQ(ThereAndBack(**other, pattern), pattern);
  other->reset();
  auto third = MakeCudaBackend(0);
  ASSERT_TRUE(third.ok()) << third.status();
  std::vector<std::byte> back(kMiB);
  (*third)->Copy(back.data(), kept->data(), kMiB);
  EXPECT_TRUE((*third)->Synchronize().ok());
  EXPECT_EQ(back, pattern);
}

TEST_F(CudaBackend, KnowsAndDescribesItself) {
  EXPECT_EQ(backend_->kind(), DeviceKind::kCuda);
  EXPECT_GT(backend_->AvailableMemory(), kMiB);
  EXPECT_LT(backend_->AvailableMemory(), gpus_[0].memory);
  const std::string text = backend_->Describe();
  for (const std::string& part :
       {std::string("cuda:0 "), gpus_[0].name, std::string("compute capability "),
        std::string("driver "), std::string("GiB available")}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_FALSE(gpus_[0].name.empty());
  EXPECT_GE(gpus_[0].compute_major, 5);
}

TEST_F(CudaBackend, RefusesAGpuThatIsNotThere) {
  for (int ordinal : {-1, static_cast<int>(gpus_.size()), 1 << 30}) {
    EXPECT_EQ(MakeCudaBackend(ordinal).status().code(), StatusCode::kNotFound) << ordinal;
  }
}

}  // namespace
}  // namespace banyan
