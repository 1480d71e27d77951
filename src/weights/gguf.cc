// SPDX-License-Identifier: Apache-2.0
#include "weights/gguf.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <unordered_set>
#include <utility>

#include "weights/mapped_file.h"
#include "weights/utf8.h"

namespace banyan::weights {
namespace {

// The smallest bytes that one entry of each kind takes: what the counts are held against.
constexpr uint64_t kMinKeyBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 4 + 4 + 8;

// Bytes of one item; 0 for strings and arrays, whose size varies.
uint64_t ItemBytes(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    default:
      return 0;
  }
}

// A cursor over the file that never passes its end.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint64_t offset() const { return offset_; }
  uint64_t left() const { return bytes_.size() - offset_; }
  const std::byte* here() const { return bytes_.data() + offset_; }

  template <typename T>
  StatusOr<T> Read(std::string_view what) {
    BANYAN_RETURN_IF_ERROR(Need(sizeof(T), what));
    T value;
    std::memcpy(&value, here(), sizeof(T));
    offset_ += sizeof(T);
    return value;
  }
  StatusOr<std::string_view> ReadString(std::string_view what) {
    BANYAN_ASSIGN_OR_RETURN(uint64_t size, Read<uint64_t>(what));
    BANYAN_RETURN_IF_ERROR(Need(size, what));
    std::string_view text(reinterpret_cast<const char*>(here()), size);
    offset_ += size;
    return text;
  }
  Status Skip(uint64_t bytes, std::string_view what) {
    BANYAN_RETURN_IF_ERROR(Need(bytes, what));
    offset_ += bytes;
    return OkStatus();
  }
  Status Need(uint64_t bytes, std::string_view what) const {
    if (bytes > left())
      return DataLoss("{} at byte {} needs {} bytes, the file has {} left", what, offset_, bytes,
                      left());
    return OkStatus();
  }

 private:
  std::span<const std::byte> bytes_;
  uint64_t offset_ = 0;
};

StatusOr<GgufType> ReadType(Cursor& cursor, std::string_view key) {
  BANYAN_ASSIGN_OR_RETURN(uint32_t type, cursor.Read<uint32_t>(key));
  if (type > static_cast<uint32_t>(GgufType::kF64))
    return DataLoss("'{}' has the value type {}, the last known is {}", key, type,
                    static_cast<uint32_t>(GgufType::kF64));
  return static_cast<GgufType>(type);
}

StatusOr<GgufValue> ReadValue(Cursor& cursor, std::string_view key) {
  GgufValue value;
  BANYAN_ASSIGN_OR_RETURN(value.type, ReadType(cursor, key));
  if (value.type == GgufType::kArray) {
    value.is_array = true;
    BANYAN_ASSIGN_OR_RETURN(value.type, ReadType(cursor, key));
    BANYAN_ASSIGN_OR_RETURN(value.count, cursor.Read<uint64_t>(key));
    if (value.type == GgufType::kArray)
      return Unimplemented("'{}' is an array of arrays, which has no use in a model file", key);
  }
  value.data = cursor.here();
  if (value.type == GgufType::kString) {
    if (value.count > cursor.left() / sizeof(uint64_t))
      return DataLoss("'{}' says that it has {} strings, the file has {} bytes left", key,
                      value.count, cursor.left());
    for (uint64_t i = 0; i < value.count; ++i)
      BANYAN_RETURN_IF_ERROR(cursor.ReadString(key).status());
    return value;
  }
  const uint64_t item_bytes = ItemBytes(value.type);
  if (value.count > cursor.left() / item_bytes)
    return DataLoss("'{}' says that it has {} items of {} bytes, the file has {} bytes left", key,
                    value.count, item_bytes, cursor.left());
  BANYAN_RETURN_IF_ERROR(cursor.Skip(value.count * item_bytes, key));
  return value;
}

StatusOr<GgufTensor> ReadTensor(Cursor& cursor) {
  GgufTensor tensor;
  BANYAN_ASSIGN_OR_RETURN(tensor.name, cursor.ReadString("a tensor's name"));
  if (tensor.name.empty() || !IsUtf8(tensor.name))
    return DataLoss("the tensor name before byte {} is empty or not UTF-8", cursor.offset());
  BANYAN_ASSIGN_OR_RETURN(uint32_t rank, cursor.Read<uint32_t>(tensor.name));
  if (rank > tensor.dims.size())
    return DataLoss("tensor '{}' has {} dimensions, the limit is {}", tensor.name, rank,
                    tensor.dims.size());
  tensor.rank = static_cast<int>(rank);
  for (uint32_t i = 0; i < rank; ++i) {
    BANYAN_ASSIGN_OR_RETURN(tensor.dims[i], cursor.Read<uint64_t>(tensor.name));
  }
  BANYAN_ASSIGN_OR_RETURN(tensor.type, cursor.Read<uint32_t>(tensor.name));
  BANYAN_ASSIGN_OR_RETURN(tensor.offset, cursor.Read<uint64_t>(tensor.name));
  return tensor;
}

struct Head {
  uint32_t version = 0;
  uint64_t tensors = 0;
  uint64_t keys = 0;
};

StatusOr<Head> ReadHead(Cursor& cursor) {
  BANYAN_ASSIGN_OR_RETURN(uint32_t magic, cursor.Read<uint32_t>("the magic number"));
  if (magic != 0x46554747)  // "GGUF"
    return DataLoss("is not a GGUF file: it begins with {:#010x}, not 0x46554747", magic);
  Head head;
  BANYAN_ASSIGN_OR_RETURN(head.version, cursor.Read<uint32_t>("the version"));
  const uint32_t swapped = __builtin_bswap32(head.version);
  if (swapped == 2 || swapped == 3)
    return Unimplemented("is a big-endian GGUF file; only little-endian files are read");
  if (head.version != 2 && head.version != 3)
    return Unimplemented("has GGUF version {}; versions 2 and 3 are read", head.version);
  BANYAN_ASSIGN_OR_RETURN(head.tensors, cursor.Read<uint64_t>("the tensor count"));
  BANYAN_ASSIGN_OR_RETURN(head.keys, cursor.Read<uint64_t>("the key count"));
  if (head.keys > cursor.left() / kMinKeyBytes)
    return DataLoss("says that it has {} metadata keys, in {} bytes", head.keys, cursor.left());
  if (head.tensors > cursor.left() / kMinTensorBytes)
    return DataLoss("says that it has {} tensors, in {} bytes", head.tensors, cursor.left());
  return head;
}

// One item of a number or boolean type as T; false if T cannot hold it.
template <typename T>
bool ConvertItem(GgufType type, const std::byte* data, T& out) {
  auto read = [&]<typename Stored>(Stored) {
    Stored stored;
    std::memcpy(&stored, data, sizeof(stored));
    if constexpr (std::is_integral_v<T>) {
      if constexpr (std::is_floating_point_v<Stored>) {
        return false;
      } else {
        out = static_cast<T>(stored);
        return std::in_range<T>(stored);
      }
    } else {
      out = static_cast<T>(stored);
      return true;
    }
  };
  switch (type) {
    case GgufType::kU8:
      return read(uint8_t{});
    case GgufType::kI8:
      return read(int8_t{});
    case GgufType::kU16:
      return read(uint16_t{});
    case GgufType::kI16:
      return read(int16_t{});
    case GgufType::kU32:
      return read(uint32_t{});
    case GgufType::kI32:
      return read(int32_t{});
    case GgufType::kU64:
      return read(uint64_t{});
    case GgufType::kI64:
      return read(int64_t{});
    case GgufType::kF32:
      return read(float{});
    case GgufType::kF64:
      return read(double{});
    default:
      return false;
  }
}

Status WrongType(const std::string& path, std::string_view key, const GgufValue& value,
                 std::string_view wanted) {
  return InvalidArgument("{}: '{}' is {}{}, expected {}", path, key,
                         value.is_array ? "an array of " : "of type ", Name(value.type), wanted);
}

template <typename T>
StatusOr<std::optional<std::vector<T>>> Numbers(const GgufValue* value, std::string_view key,
                                                const std::string& path, std::string_view wanted) {
  if (value == nullptr) return std::optional<std::vector<T>>();
  std::vector<T> items;
  if (ItemBytes(value->type) == 0) return WrongType(path, key, *value, wanted);
  items.resize(value->count);
  for (uint64_t i = 0; i < value->count; ++i) {
    if (!ConvertItem(value->type, value->data + i * ItemBytes(value->type), items[i]))
      return WrongType(path, key, *value, wanted);
  }
  return std::optional(std::move(items));
}

template <typename T>
StatusOr<std::optional<T>> Number(const GgufValue* value, std::string_view key,
                                  const std::string& path, std::string_view wanted) {
  if (value == nullptr) return std::optional<T>();
  T out{};
  if (value->is_array || !ConvertItem(value->type, value->data, out))
    return WrongType(path, key, *value, wanted);
  return std::optional(out);
}

}  // namespace

std::string_view Name(GgufType type) {
  static constexpr std::array<std::string_view, 13> kNames{
      "uint8",   "int8",   "uint16", "int16",  "uint32", "int32",  "float32",
      "boolean", "string", "array",  "uint64", "int64",  "float64"};
  return kNames[static_cast<std::size_t>(type)];
}

StatusOr<std::unique_ptr<GgufMetadata>> GgufMetadata::Open(const std::string& path) {
  BANYAN_ASSIGN_OR_RETURN(auto file, MappedFile::Open(path));
  return Parse(std::move(file));
}

StatusOr<std::unique_ptr<GgufMetadata>> GgufMetadata::Parse(
    std::shared_ptr<const MappedFile> file) {
  std::unique_ptr<GgufMetadata> metadata(new GgufMetadata);
  metadata->file_ = std::move(file);
  Status status = metadata->ReadAll();
  if (!status.ok()) return Annotate(status, metadata->path());
  return metadata;
}

Status GgufMetadata::ReadAll() {
  Cursor cursor(file_->bytes());
  BANYAN_ASSIGN_OR_RETURN(Head head, ReadHead(cursor));
  version_ = head.version;
  for (uint64_t i = 0; i < head.keys; ++i) {
    BANYAN_ASSIGN_OR_RETURN(std::string_view key, cursor.ReadString("a metadata key"));
    if (key.empty() || !IsUtf8(key))
      return DataLoss("the metadata key before byte {} is empty or not UTF-8", cursor.offset());
    BANYAN_ASSIGN_OR_RETURN(GgufValue value, ReadValue(cursor, key));
    if (!values_.emplace(key, value).second) return DataLoss("the key '{}' stands twice", key);
    keys_.push_back(key);
  }
  std::unordered_set<std::string_view> names;
  for (uint64_t i = 0; i < head.tensors; ++i) {
    BANYAN_ASSIGN_OR_RETURN(GgufTensor tensor, ReadTensor(cursor));
    if (!names.insert(tensor.name).second)
      return DataLoss("the tensor '{}' stands twice", tensor.name);
    tensors_.push_back(tensor);
  }
  BANYAN_ASSIGN_OR_RETURN(auto alignment, Int("general.alignment"));
  if (alignment) {
    if (*alignment <= 0 || !std::has_single_bit(static_cast<uint64_t>(*alignment)))
      return DataLoss("general.alignment is {}, which is no power of two", *alignment);
    alignment_ = static_cast<uint64_t>(*alignment);
  }
  const uint64_t gap = (alignment_ - cursor.offset() % alignment_) % alignment_;
  if (!tensors_.empty()) BANYAN_RETURN_IF_ERROR(cursor.Skip(gap, "the padding before the tensors"));
  data_offset_ = cursor.offset();
  return OkStatus();
}

const GgufValue* GgufMetadata::Find(std::string_view key) const {
  auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

StatusOr<std::optional<int64_t>> GgufMetadata::Int(std::string_view key) const {
  return Number<int64_t>(Find(key), key, path(), "an integer");
}

StatusOr<std::optional<double>> GgufMetadata::Float(std::string_view key) const {
  return Number<double>(Find(key), key, path(), "a number");
}

StatusOr<std::optional<bool>> GgufMetadata::Bool(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::optional<bool>();
  if (value->is_array || value->type != GgufType::kBool)
    return WrongType(path(), key, *value, "a boolean");
  return std::optional(*value->data != std::byte{0});
}

StatusOr<std::optional<std::string_view>> GgufMetadata::String(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::optional<std::string_view>();
  if (value->is_array) return WrongType(path(), key, *value, "text");
  BANYAN_ASSIGN_OR_RETURN(auto strings, Strings(key));
  return std::optional(strings->front());
}

StatusOr<std::optional<std::vector<int64_t>>> GgufMetadata::Ints(std::string_view key) const {
  return Numbers<int64_t>(Find(key), key, path(), "integers");
}

StatusOr<std::optional<std::vector<double>>> GgufMetadata::Floats(std::string_view key) const {
  return Numbers<double>(Find(key), key, path(), "numbers");
}

StatusOr<std::optional<std::vector<std::string_view>>> GgufMetadata::Strings(
    std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::optional<std::vector<std::string_view>>();
  if (value->type != GgufType::kString) return WrongType(path(), key, *value, "text");
  std::vector<std::string_view> strings;
  strings.reserve(value->count);
  const std::byte* data = value->data;
  for (uint64_t i = 0; i < value->count; ++i) {
    uint64_t size = 0;
    std::memcpy(&size, data, sizeof(size));
    strings.emplace_back(reinterpret_cast<const char*>(data) + sizeof(size), size);
    data += sizeof(size) + size;
  }
  return std::optional(std::move(strings));
}

std::string GgufMetadata::architecture() const {
  auto name = String("general.architecture");
  return name.ok() && *name ? std::string(**name) : std::string();
}

const std::string& GgufMetadata::path() const { return file_->path(); }

}  // namespace banyan::weights
