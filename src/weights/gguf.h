// SPDX-License-Identifier: Apache-2.0
// GGUF: the metadata and the tensor directory of a .gguf file (versions 2 and 3, little endian),
// read in place.
//
// Strings and arrays point into the mapped file and live as long as the GgufMetadata. Thread-safe
// after opening. Follows ggml's docs/gguf.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"

namespace banyan::weights {

class MappedFile;

enum class GgufType : uint32_t {
  kU8 = 0,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};
std::string_view Name(GgufType type);

struct GgufValue {
  GgufType type = GgufType::kU8;  // of the value, or of the items of an array
  bool is_array = false;
  uint64_t count = 1;               // items
  const std::byte* data = nullptr;  // the first item; strings with their length before them
};

struct GgufTensor {
  std::string_view name;
  uint32_t type = 0;                         // ggml_type
  std::array<uint64_t, 4> dims{1, 1, 1, 1};  // innermost first, as in the file
  int rank = 0;
  uint64_t offset = 0;  // from the start of the tensor data
};

class GgufMetadata {
 public:
  // Reads the header of one file (of a split set: the first holds all metadata). The tensors'
  // types and places are checked by Checkpoint::Open, not here, so that the vocabulary of a file
  // whose weights we cannot read is still usable.
  static StatusOr<std::unique_ptr<GgufMetadata>> Open(const std::string& path);
  // The same for a file that is already mapped.
  static StatusOr<std::unique_ptr<GgufMetadata>> Parse(std::shared_ptr<const MappedFile> file);

  const GgufValue* Find(std::string_view key) const;  // null when absent
  bool Has(std::string_view key) const { return Find(key) != nullptr; }
  const std::vector<std::string_view>& keys() const { return keys_; }  // in the file's order

  // Typed reads. Absent: nullopt (kOk). Of another type or not representable: kInvalidArgument
  // naming the key. Any integer type reads as int64_t, any number as double.
  StatusOr<std::optional<int64_t>> Int(std::string_view key) const;
  StatusOr<std::optional<double>> Float(std::string_view key) const;
  StatusOr<std::optional<bool>> Bool(std::string_view key) const;
  StatusOr<std::optional<std::string_view>> String(std::string_view key) const;
  // An array, or a scalar as an array of one.
  StatusOr<std::optional<std::vector<int64_t>>> Ints(std::string_view key) const;
  StatusOr<std::optional<std::vector<double>>> Floats(std::string_view key) const;
  StatusOr<std::optional<std::vector<std::string_view>>> Strings(std::string_view key) const;

  std::string architecture() const;  // general.architecture; empty when absent
  const std::string& path() const;
  uint32_t version() const { return version_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  uint64_t data_offset() const { return data_offset_; }  // where tensor data begins in the file
  uint64_t alignment() const { return alignment_; }

 private:
  GgufMetadata() = default;
  Status ReadAll();

  std::shared_ptr<const MappedFile> file_;
  uint32_t version_ = 0;
  uint64_t data_offset_ = 0;
  uint64_t alignment_ = 32;
  std::unordered_map<std::string_view, GgufValue> values_;
  std::vector<std::string_view> keys_;
  std::vector<GgufTensor> tensors_;
};

}  // namespace banyan::weights
