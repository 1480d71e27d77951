// SPDX-License-Identifier: Apache-2.0
// MappedFile: a regular file mapped read-only. Errors name the path and the reason; an empty file
// is an error, as nothing that we read may be empty. Thread-safe.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"
#include "tensor/buffer.h"

namespace banyan::weights {

class MappedFile {
 public:
  static StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& path);
  // The same over memory that is already there (tests, fuzzers); `path` is for messages.
  static std::shared_ptr<const MappedFile> Wrap(std::string path, Buffer buffer);

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {buffer_.data(), buffer_.size()}; }
  std::size_t size() const { return buffer_.size(); }
  // Maps the pages of [data, data + size), which lies within the mapping, as reads of them would.
  void Populate(const void* data, std::size_t size) const;
  // Drops the whole pages within [data, data + size) from this process; they are read again from
  // the page cache when touched. Ranges outside the mapping are ignored.
  void Release(const void* data, std::size_t size) const;

 private:
  MappedFile(std::string path, Buffer buffer, bool mapped)
      : path_(std::move(path)), buffer_(std::move(buffer)), mapped_(mapped) {}

  std::string path_;
  Buffer buffer_;
  bool mapped_ = false;
};

}  // namespace banyan::weights
