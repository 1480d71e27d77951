// SPDX-License-Identifier: Apache-2.0
// Buffer: move-only owner of one block of memory, with the function that gives it back. Where the
// memory came from (the heap, a device, a mapped file) is the deleter's business.
#pragma once

#include <cstddef>
#include <functional>
#include <utility>

namespace banyan {

class Buffer {
 public:
  using Deleter = std::function<void(void*, std::size_t)>;

  Buffer() = default;
  Buffer(void* data, std::size_t size, Deleter deleter)
      : data_(data), size_(size), deleter_(std::move(deleter)) {}
  Buffer(Buffer&& other) noexcept { Swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer moved(std::move(other));
    Swap(moved);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (data_ != nullptr && deleter_) deleter_(data_, size_);
  }

  std::byte* data() const { return static_cast<std::byte*>(data_); }
  std::size_t size() const { return size_; }
  bool empty() const { return data_ == nullptr; }

 private:
  void Swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(deleter_, other.deleter_);
  }

  void* data_ = nullptr;
  std::size_t size_ = 0;
  Deleter deleter_;
};

}  // namespace banyan
