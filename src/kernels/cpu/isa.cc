// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/isa.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/thread_pool.h"

namespace banyan::kernels {
namespace {

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers Cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

bool Has(uint32_t word, std::initializer_list<int> bits) {
  for (int bit : bits) {
    if ((word >> bit & 1) == 0) return false;
  }
  return true;
}

// The states that the operating system saves on a context switch (XCR0).
uint64_t SavedStates() {
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

// Linux gives a process tile registers only on request (arch_prctl(2), ARCH_REQ_XCOMP_PERM).
bool RequestTiles() {
  constexpr int kRequestPermission = 0x1023;
  constexpr int kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

IsaLevel Detect() {
  const Registers basic = Cpuid(1, 0);
  constexpr int kFma = 12, kOsxsave = 27, kAvx = 28, kF16c = 29;
  if (!Has(basic.ecx, {kFma, kOsxsave, kAvx, kF16c})) return IsaLevel::kReference;
  const uint64_t saved = SavedStates();
  constexpr uint64_t kYmm = 0x6, kZmm = 0xe6, kTiles = 0x60000;
  const Registers extended = Cpuid(7, 0);
  constexpr int kAvx2 = 5, kBmi2 = 8;
  if ((saved & kYmm) != kYmm || !Has(extended.ebx, {kAvx2, kBmi2})) return IsaLevel::kReference;
  constexpr int kF = 16, kDq = 17, kCd = 28, kBw = 30, kVl = 31;
  if ((saved & kZmm) != kZmm || !Has(extended.ebx, {kF, kDq, kCd, kBw, kVl})) {
    return IsaLevel::kAvx2;
  }
  constexpr int kVnni = 11, kBf16 = 5;
  if (!Has(extended.ecx, {kVnni}) || !Has(Cpuid(7, 1).eax, {kBf16})) return IsaLevel::kAvx512;
  constexpr int kAmxBf16 = 22, kAmxTile = 24, kAmxInt8 = 25;
  if ((saved & kTiles) != kTiles || !Has(extended.edx, {kAmxBf16, kAmxTile, kAmxInt8}) ||
      !RequestTiles()) {
    return IsaLevel::kAvx512VnniBf16;
  }
  return IsaLevel::kAmx;
}

std::string BrandString() {
  std::array<char, 49> brand{};
  for (uint32_t i = 0; i < 3; ++i) {
    const Registers part = Cpuid(0x80000002 + i, 0);
    std::memcpy(brand.data() + 16 * i, &part, 16);
  }
  std::string text = brand.data();
  text.erase(0, text.find_first_not_of(' '));
  text.erase(text.find_last_not_of(' ') + 1);
  return text.empty() ? "unknown CPU" : text;
}

}  // namespace

IsaLevel DetectIsa() {
  static const IsaLevel level = Detect();
  return level;
}

StatusOr<IsaLevel> ParseIsa(std::string_view name) {
  if (name == "auto") return DetectIsa();
  std::string known = "auto";
  for (int i = 0; i <= static_cast<int>(IsaLevel::kAmx); ++i) {
    const auto level = static_cast<IsaLevel>(i);
    if (name == ops::Name(level)) {
      if (level > DetectIsa()) {
        return FailedPrecondition("cpu isa {}: this machine has {} at most", name,
                                  ops::Name(DetectIsa()));
      }
      return level;
    }
    known += fmt::format(", {}", ops::Name(level));
  }
  return InvalidArgument("cpu isa \"{}\" is none of {}", name, known);
}

std::string DescribeCpu(IsaLevel in_force) {
  return fmt::format("{}, {} cores usable, cpu isa {}{}", BrandString(), UsableCores().size(),
                     ops::Name(in_force),
                     in_force == DetectIsa()
                         ? ""
                         : fmt::format(" (forced; the machine has {})", ops::Name(DetectIsa())));
}

}  // namespace banyan::kernels
