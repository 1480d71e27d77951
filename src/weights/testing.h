// SPDX-License-Identifier: Apache-2.0
// For tests of this folder and of those below it: a folder that disappears, and writers for the two
// file formats that can also write wrong files.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace banyan::weights::testing {

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "banyan-test-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string Write(const std::string& name, std::string_view bytes) const {
    const std::filesystem::path file = std::filesystem::path(path_) / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << bytes;
    return file.string();
  }

 private:
  std::string path_;
};

// The bytes of a safetensors file with this header.
inline std::string Safetensors(std::string_view header, std::string_view data) {
  const uint64_t size = header.size();
  std::string bytes(reinterpret_cast<const char*>(&size), sizeof(size));
  return bytes.append(header).append(data);
}

// Builds GGUF files piece by piece.
class GgufWriter {
 public:
  explicit GgufWriter(uint32_t version = 3) : version_(version) {}

  template <typename T>
  static std::string Raw(T value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  static std::string Text(std::string_view text) { return Raw<uint64_t>(text.size()).append(text); }
  // `value`: the bytes after the type.
  GgufWriter& Key(std::string_view name, uint32_t type, std::string_view value) {
    keys_.append(Text(name)).append(Raw(type)).append(value);
    ++key_count_;
    return *this;
  }
  GgufWriter& U32(std::string_view name, uint32_t value) { return Key(name, 4, Raw(value)); }
  GgufWriter& F32(std::string_view name, float value) { return Key(name, 6, Raw(value)); }
  GgufWriter& String(std::string_view name, std::string_view value) {
    return Key(name, 8, Text(value));
  }
  template <typename T>
  GgufWriter& Array(std::string_view name, uint32_t item_type, const std::vector<T>& items) {
    std::string value = Raw(item_type) + Raw<uint64_t>(items.size());
    for (const T& item : items) {
      if constexpr (std::is_convertible_v<T, std::string_view>)
        value += Text(item);
      else
        value += Raw(item);
    }
    return Key(name, 9, value);
  }
  // `dims` innermost first. Without an offset: after the last tensor's data, aligned.
  GgufWriter& Tensor(std::string_view name, uint32_t type, const std::vector<uint64_t>& dims,
                     std::string_view data) {
    while (data_.size() % alignment_ != 0) data_ += '\0';
    TensorAt(name, type, dims, data_.size());
    data_ += data;
    return *this;
  }
  GgufWriter& TensorAt(std::string_view name, uint32_t type, const std::vector<uint64_t>& dims,
                       uint64_t offset) {
    tensors_ += Text(name) + Raw<uint32_t>(static_cast<uint32_t>(dims.size()));
    for (uint64_t dim : dims) tensors_ += Raw(dim);
    tensors_ += Raw(type) + Raw(offset);
    ++tensor_count_;
    return *this;
  }
  GgufWriter& Alignment(uint32_t alignment) {
    alignment_ = alignment;
    return U32("general.alignment", alignment);
  }
  std::string Bytes() const {
    std::string bytes =
        "GGUF" + Raw(version_) + Raw(tensor_count_) + Raw(key_count_) + keys_ + tensors_;
    while (bytes.size() % alignment_ != 0) bytes += '\0';
    return bytes + data_;
  }

 private:
  uint32_t version_;
  uint32_t alignment_ = 32;
  uint64_t key_count_ = 0;
  uint64_t tensor_count_ = 0;
  std::string keys_, tensors_, data_;
};

}  // namespace banyan::weights::testing
