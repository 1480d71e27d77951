// SPDX-License-Identifier: Apache-2.0
#include "weights/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

namespace banyan::weights {
namespace {

Status SystemError(const std::string& path, int error) {
  const char* reason = std::strerror(error);
  if (error == ENOENT || error == ENOTDIR) return NotFound("{}: {}", path, reason);
  if (error == EACCES || error == EPERM) return PermissionDenied("{}: {}", path, reason);
  return FailedPrecondition("{}: {}", path, reason);
}

}  // namespace

StatusOr<std::shared_ptr<const MappedFile>> MappedFile::Open(const std::string& path) {
  // Without O_NONBLOCK, opening a pipe would wait for a writer.
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return SystemError(path, errno);
  struct stat info {};
  Status status;
  void* data = nullptr;
  if (fstat(descriptor, &info) != 0) {
    status = SystemError(path, errno);
  } else if (!S_ISREG(info.st_mode)) {
    status = InvalidArgument("{}: is {}, not a regular file", path,
                             S_ISDIR(info.st_mode) ? "a directory" : "a special file");
  } else if (info.st_size == 0) {
    status = DataLoss("{}: the file is empty", path);
  } else {
    data =
        mmap(nullptr, static_cast<std::size_t>(info.st_size), PROT_READ, MAP_SHARED, descriptor, 0);
    if (data == MAP_FAILED) status = SystemError(path, errno);
  }
  close(descriptor);
  BANYAN_RETURN_IF_ERROR(status);
  Buffer buffer(data, static_cast<std::size_t>(info.st_size),
                [](void* address, std::size_t size) { munmap(address, size); });
  return std::shared_ptr<const MappedFile>(new MappedFile(path, std::move(buffer), true));
}

std::shared_ptr<const MappedFile> MappedFile::Wrap(std::string path, Buffer buffer) {
  return std::shared_ptr<const MappedFile>(
      new MappedFile(std::move(path), std::move(buffer), false));
}

void MappedFile::Populate(const void* data, std::size_t size) const {
  if (!mapped_ || size == 0) return;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto wanted = reinterpret_cast<uintptr_t>(data);
  const uintptr_t begin = wanted / page * page;
  // Kernels before 5.14 do not know it; the reads themselves do the same there.
  madvise(reinterpret_cast<void*>(begin), wanted + size - begin, MADV_POPULATE_READ);
}

void MappedFile::Release(const void* data, std::size_t size) const {
  if (!mapped_) return;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto base = reinterpret_cast<uintptr_t>(buffer_.data());
  const auto wanted = reinterpret_cast<uintptr_t>(data);
  // The pages that hold a neighbour's bytes too stay.
  const uintptr_t begin = (std::max(wanted, base) + page - 1) / page * page;
  const uintptr_t end = std::min(wanted + size, base + buffer_.size()) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace banyan::weights
