// SPDX-License-Identifier: Apache-2.0
#include "ops/context.h"

#include <gtest/gtest.h>

#include <memory>
#include <new>

#include "device/cpu/cpu_backend.h"
#include "device/testing.h"

namespace banyan::ops {
namespace {

constexpr std::size_t kMegabyte = std::size_t{1} << 20;

TEST(Scratch, KeepsTheMostThatWasInUse) {
  const std::unique_ptr<Backend> backend = MakeCpuBackend();
  Scratch scratch(backend.get());
  scratch.GetBytes(100);  // 128 with its alignment
  {
    const ScratchScope scope(&scratch);
    scratch.GetBytes(3 * kMegabyte);
  }
  scratch.GetBytes(2 * kMegabyte);
  EXPECT_EQ(scratch.peak(), 3 * kMegabyte + 128);
  scratch.Reset();
  EXPECT_EQ(scratch.peak(), 0u);
}

// A pass whose peak was reserved stays in the one block.
TEST(Scratch, WhatIsReservedIsEnough) {
  LimitedBackend backend(8 * kMegabyte);
  Scratch scratch(&backend);
  ASSERT_TRUE(scratch.Reserve(3 * kMegabyte + 128).ok());
  backend.set_limit(0);
  for (int pass = 0; pass < 2; ++pass) {
    scratch.Reset();
    std::byte* const first = scratch.GetBytes(100);
    {
      const ScratchScope scope(&scratch);
      EXPECT_EQ(scratch.GetBytes(3 * kMegabyte), first + 128);
    }
    EXPECT_EQ(scratch.GetBytes(2 * kMegabyte), first + 128);
    EXPECT_EQ(scratch.bytes(), 3 * kMegabyte + 128);
  }
}

TEST(Scratch, WithoutMemoryItThrowsAndStaysUsable) {
  LimitedBackend backend(4 * kMegabyte);
  Scratch scratch(&backend);
  EXPECT_EQ(scratch.Reserve(5 * kMegabyte).code(), StatusCode::kResourceExhausted);
  scratch.GetBytes(2 * kMegabyte);
  EXPECT_THROW(scratch.GetBytes(3 * kMegabyte), std::bad_alloc);
  scratch.GetBytes(2 * kMegabyte);  // though not the twofold that it would like to take
  scratch.Reset();
  scratch.GetBytes(4 * kMegabyte);
}

}  // namespace
}  // namespace banyan::ops
