// SPDX-License-Identifier: Apache-2.0
#include "device/cpu/cpu_backend.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>

namespace banyan {
namespace {

TEST(CpuBackend, GivesZeroedAlignedMemory) {
  const std::unique_ptr<Backend> backend = MakeCpuBackend();
  for (std::size_t bytes : {0ul, 1ul, 63ul, 4096ul, (1ul << 20) + 3, (5ul << 20) + 1}) {
    for (std::size_t alignment : {64ul, 4096ul, 1ul << 22}) {
      StatusOr<Buffer> buffer = backend->Allocate(bytes, "a test", alignment);
      ASSERT_TRUE(buffer.ok()) << buffer.status();
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer->data()) % alignment, 0u);
      EXPECT_TRUE(std::all_of(buffer->data(), buffer->data() + bytes,
                              [](std::byte b) { return b == std::byte{0}; }));
      if (bytes > 0) buffer->data()[bytes - 1] = std::byte{1};
    }
  }
}

TEST(CpuBackend, RefusesWhatTheMachineLacks) {
  const std::unique_ptr<Backend> backend = MakeCpuBackend();
  for (std::size_t bytes : {UsableMemory() + 1, std::size_t{1} << 62, ~std::size_t{0}}) {
    const StatusOr<Buffer> buffer = backend->Allocate(bytes, "the moon");
    ASSERT_FALSE(buffer.ok());
    EXPECT_EQ(buffer.status().code(), StatusCode::kResourceExhausted);
    EXPECT_NE(Message(buffer.status()).find("the moon"), std::string::npos);
  }
}

TEST(CpuBackend, KnowsItsMemory) {
  const std::unique_ptr<Backend> backend = MakeCpuBackend();
  EXPECT_GT(backend->AvailableMemory(), std::size_t{1} << 20);
  EXPECT_LE(backend->AvailableMemory(), UsableMemory());
  EXPECT_EQ(backend->kind(), DeviceKind::kCpu);
  EXPECT_NE(backend->Describe().find("GiB"), std::string::npos);
}

// Whether a backend says that no more can be had than a limit of the address space leaves. Not to
// be taken back, so for a child only.
bool KnowsTheLimit() {
  const std::unique_ptr<Backend> backend = MakeCpuBackend();
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  constexpr std::size_t kMore = std::size_t{64} << 20;
  const std::size_t most = pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) + kMore;
  const struct rlimit limit = {most, most};
  return setrlimit(RLIMIT_AS, &limit) == 0 && backend->AvailableMemory() <= kMore;
}

TEST(CpuBackendDeathTest, ALimitOfTheAddressSpaceIsOneOfMemory) {
  EXPECT_EXIT(_exit(KnowsTheLimit() ? 0 : 1), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace banyan
