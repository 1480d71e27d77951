// SPDX-License-Identifier: Apache-2.0
#include "device/cpu/cpu_backend.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

#include "base/check.h"

namespace banyan {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
// Below this a mapping of its own wastes more than it gives.
constexpr std::size_t kMapFrom = std::size_t{1} << 20;
constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

std::size_t RoundUp(std::size_t value, std::size_t to) { return (value + to - 1) / to * to; }

// A file of one number; "max" and what cannot be read are no limit.
std::size_t NumberIn(const std::string& path) {
  std::ifstream file(path);
  std::size_t value = 0;
  return file >> value ? value : kUnlimited;
}

// The value of `key` in a file of lines "key number ..." or "key: number kB".
std::optional<std::size_t> Field(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (line.compare(0, key.size(), key) != 0) continue;
    return std::strtoull(line.c_str() + key.size(), nullptr, 10);
  }
  return std::nullopt;
}

struct CgroupMemory {
  std::size_t limit = kUnlimited;
  std::size_t used = 0;  // without page cache that can be dropped
};

// The narrowest limit from this process's group up to the root, for version 2 or version 1's memory
// controller.
CgroupMemory ReadCgroup() {
  std::ifstream groups("/proc/self/cgroup");
  std::string line;
  CgroupMemory narrowest;
  while (std::getline(groups, line)) {
    const bool v2 = line.rfind("0::", 0) == 0;
    const std::size_t v1 = line.find(":memory:");
    if (!v2 && v1 == std::string::npos) continue;
    std::string path = v2 ? line.substr(3) : line.substr(v1 + 8);
    const std::string root = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    const char* limit_file = v2 ? "/memory.max" : "/memory.limit_in_bytes";
    const char* used_file = v2 ? "/memory.current" : "/memory.usage_in_bytes";
    const char* inactive = v2 ? "inactive_file" : "total_inactive_file";
    while (true) {
      if (path == "/") path.clear();
      const std::size_t limit = NumberIn(root + path + limit_file);
      if (limit < narrowest.limit) {
        const std::size_t used = NumberIn(root + path + used_file);
        const std::size_t cache = Field(root + path + "/memory.stat", inactive).value_or(0);
        narrowest = {limit, used == kUnlimited ? 0 : used - std::min(used, cache)};
      }
      if (path.empty()) break;
      path.resize(path.rfind('/'));
    }
  }
  return narrowest;
}

// What the process may still map where its address space is limited (ulimit -v).
std::size_t AddressSpaceLeft() {
  struct rlimit limit = {};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUnlimited;
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const std::size_t used = pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return limit.rlim_cur - std::min<std::size_t>(limit.rlim_cur, used);
}

struct MachineMemory {
  std::size_t total = 0;
  std::size_t available = 0;
};

MachineMemory ReadMachine() {
  constexpr const char* kFile = "/proc/meminfo";
  const auto total = Field(kFile, "MemTotal:");
  const auto available = Field(kFile, "MemAvailable:");
  if (total && available) return {*total * 1024, *available * 1024};
  // A bare root folder has no /proc. The kernel's call does not count the page cache as available.
  struct sysinfo info = {};
  if (sysinfo(&info) != 0) return {};
  return {info.totalram * info.mem_unit, (info.freeram + info.bufferram) * info.mem_unit};
}

StatusOr<Buffer> Map(std::size_t bytes, std::string_view what, std::size_t alignment) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  // Huge pages need their own alignment; what the mapping has too much is given back.
  const std::size_t align = std::max({alignment, page, bytes >= kHugePage ? kHugePage : page});
  const std::size_t size = RoundUp(bytes, page);
  void* mapped =
      mmap(nullptr, size + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) {
    return ResourceExhausted("no memory for {} ({} bytes): {}", what, bytes, std::strerror(errno));
  }
  const auto begin = reinterpret_cast<std::uintptr_t>(mapped);
  const std::uintptr_t aligned = RoundUp(begin, align);
  if (aligned > begin) munmap(mapped, aligned - begin);
  if (begin + align > aligned) {
    munmap(reinterpret_cast<void*>(aligned + size), begin + align - aligned);
  }
  void* data = reinterpret_cast<void*>(aligned);
  if (bytes >= kHugePage) madvise(data, size, MADV_HUGEPAGE);
  return Buffer(data, bytes, [size](void* at, std::size_t) { munmap(at, size); });
}

class CpuBackend : public Backend {
 public:
  DeviceKind kind() const override { return DeviceKind::kCpu; }

  std::string Describe() const override {
    return fmt::format("cpu, {:.1f} of {:.1f} GiB memory available",
                       static_cast<double>(AvailableMemory()) / 0x1p30,
                       static_cast<double>(UsableMemory()) / 0x1p30);
  }

  StatusOr<Buffer> Allocate(std::size_t bytes, std::string_view what,
                            std::size_t alignment) override {
    BANYAN_CHECK(alignment >= 64 && std::has_single_bit(alignment), "alignment {}", alignment);
    // Linux promises more memory than there is and kills who touches it; refuse before.
    if (bytes > UsableMemory()) {
      return ResourceExhausted("no memory for {}: {} bytes asked, {} in all", what, bytes,
                               UsableMemory());
    }
    bytes = std::max<std::size_t>(bytes, 1);
    if (bytes >= kMapFrom) return Map(bytes, what, alignment);
    void* data = std::aligned_alloc(alignment, RoundUp(bytes, alignment));
    if (data == nullptr) return ResourceExhausted("no memory for {} ({} bytes)", what, bytes);
    std::memset(data, 0, bytes);
    return Buffer(data, bytes, [](void* at, std::size_t) { std::free(at); });
  }

  std::size_t AvailableMemory() const override {
    const std::size_t machine = std::min(ReadMachine().available, AddressSpaceLeft());
    const CgroupMemory group = ReadCgroup();
    if (group.limit == kUnlimited) return machine;
    return std::min(machine, group.limit - std::min(group.limit, group.used));
  }

  void Copy(void* to, const void* from, std::size_t bytes) override {
    if (bytes != 0) std::memmove(to, from, bytes);
  }
  Status Synchronize() override { return OkStatus(); }
};

}  // namespace

std::unique_ptr<Backend> MakeCpuBackend() { return std::make_unique<CpuBackend>(); }

std::size_t UsableMemory() { return std::min(ReadMachine().total, ReadCgroup().limit); }

}  // namespace banyan
