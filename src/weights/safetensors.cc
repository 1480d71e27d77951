// SPDX-License-Identifier: Apache-2.0
#include "weights/safetensors.h"

#include <algorithm>
#include <array>
#include <boost/json/basic_parser_impl.hpp>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "tensor/dtype.h"

namespace banyan::weights {
namespace {

struct Entry {
  std::string name;
  std::string dtype;
  std::vector<uint64_t> shape;
  std::vector<uint64_t> offsets;
  uint8_t seen = 0;  // bits of kKeys
};

constexpr std::array<std::string_view, 3> kKeys{"dtype", "shape", "data_offsets"};

// Takes the header's JSON as events: a document tree would hide a name that stands twice, and cost
// many times the text's size.
class HeaderHandler {
 public:
  static constexpr std::size_t max_object_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_array_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_key_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_string_size = std::numeric_limits<std::size_t>::max();

  using Error = boost::system::error_code;

  bool on_document_begin(Error&) { return true; }
  bool on_document_end(Error&) { return true; }
  bool on_object_begin(Error& error) {
    if (depth_ > 1) return Fail(error, "an object where none belongs");
    if (++depth_ == 2 && !in_metadata_) entries_.push_back({.name = key_});
    return true;
  }
  bool on_object_end(std::size_t, Error& error) {
    if (depth_ == 2 && !in_metadata_ && entries_.back().seen != 7)
      return Fail(error, "lacks one of dtype, shape, data_offsets");
    if (--depth_ == 1) in_metadata_ = false;
    return true;
  }
  bool on_array_begin(Error& error) {
    if (depth_ != 2 || in_array_ || in_metadata_ || field_ == 0)
      return Fail(error, "an array where none belongs");
    in_array_ = true;
    return true;
  }
  bool on_array_end(std::size_t, Error&) {
    in_array_ = false;
    return true;
  }
  bool on_key_part(json::string_view part, std::size_t, Error&) {
    text_.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, std::size_t, Error& error) {
    text_.append(part.data(), part.size());
    std::swap(key_, text_);
    text_.clear();
    if (depth_ == 1) {
      in_metadata_ = key_ == "__metadata__";
    } else if (!in_metadata_) {
      auto found = std::find(kKeys.begin(), kKeys.end(), key_);
      if (found == kKeys.end()) return Fail(error, fmt::format("has the unknown key '{}'", key_));
      field_ = static_cast<int>(found - kKeys.begin());
      const auto bit = static_cast<uint8_t>(1 << field_);
      if (entries_.back().seen & bit) return Fail(error, fmt::format("has '{}' twice", key_));
      entries_.back().seen |= bit;
    }
    return true;
  }
  bool on_string_part(json::string_view part, std::size_t, Error&) {
    text_.append(part.data(), part.size());
    return true;
  }
  bool on_string(json::string_view part, std::size_t, Error& error) {
    text_.append(part.data(), part.size());
    if (depth_ == 2 && !in_metadata_) {
      if (field_ != 0 || in_array_) return Fail(error, "text where a number belongs");
      entries_.back().dtype = text_;
    } else if (depth_ < 2) {
      return Fail(error, "text where an object belongs");
    }
    text_.clear();
    return true;
  }
  bool on_number_part(json::string_view, Error&) { return true; }
  bool on_int64(int64_t value, json::string_view, Error& error) {
    if (value < 0) return Fail(error, fmt::format("has the negative number {}", value));
    return on_uint64(static_cast<uint64_t>(value), {}, error);
  }
  bool on_uint64(uint64_t value, json::string_view, Error& error) {
    if (!in_array_) return Fail(error, "a number where none belongs");
    Entry& entry = entries_.back();
    (field_ == 1 ? entry.shape : entry.offsets).push_back(value);
    return true;
  }
  bool on_double(double value, json::string_view, Error& error) {
    return Fail(error, fmt::format("has {}, which is no 64-bit integer", value));
  }
  bool on_bool(bool, Error& error) { return Fail(error, "has a boolean"); }
  bool on_null(Error& error) { return Fail(error, "has a null"); }
  bool on_comment_part(json::string_view, Error&) { return true; }
  bool on_comment(json::string_view, Error&) { return true; }

  std::vector<Entry>& entries() { return entries_; }
  const std::string& problem() const { return problem_; }

 private:
  bool Fail(Error& error, std::string_view problem) {
    if (in_metadata_)
      problem_ = fmt::format("__metadata__ is not a map from text to text ({})", problem);
    else if (depth_ >= 2 && !entries_.empty())
      problem_ = fmt::format("tensor '{}': {}", entries_.back().name, problem);
    else
      problem_ = problem;
    error = json::error::syntax;
    return false;
  }

  int depth_ = 0;
  int field_ = 0;  // index in kKeys of the key being read
  bool in_array_ = false;
  bool in_metadata_ = false;
  std::string text_;
  std::string key_;
  std::string problem_;
  std::vector<Entry> entries_;
};

std::optional<DType> ParseDType(std::string_view name) {
  static constexpr std::pair<std::string_view, DType> kTypes[] = {
      {"F32", DType::kF32}, {"F16", DType::kF16},  {"BF16", DType::kBF16}, {"F64", DType::kF64},
      {"I8", DType::kI8},   {"I16", DType::kI16},  {"I32", DType::kI32},   {"I64", DType::kI64},
      {"U8", DType::kU8},   {"BOOL", DType::kBool}};
  for (const auto& [known, dtype] : kTypes)
    if (name == known) return dtype;
  return std::nullopt;
}

Status CheckPlaces(const std::vector<Entry>& entries, uint64_t data_bytes) {
  std::vector<const Entry*> order;
  order.reserve(entries.size());
  for (const Entry& entry : entries) order.push_back(&entry);
  std::ranges::sort(order, {},
                    [](const Entry* e) { return std::pair(e->offsets[0], e->offsets[1]); });
  uint64_t end = 0;
  const Entry* last = nullptr;
  for (const Entry* entry : order) {
    if (entry->offsets[0] < end)
      return DataLoss("tensor '{}' begins at byte {} of the data, before the end of '{}' at {}",
                      entry->name, entry->offsets[0], last->name, end);
    if (entry->offsets[0] > end)
      return DataLoss("tensor '{}' begins at byte {} of the data, after a gap from {}", entry->name,
                      entry->offsets[0], end);
    end = entry->offsets[1];
    last = entry;
  }
  if (end != data_bytes)
    return DataLoss("the tensors end at byte {} of the data, the file at {}: the file is {}", end,
                    data_bytes, end > data_bytes ? "cut" : "longer than its header says");
  return OkStatus();
}

StatusOr<NamedTensor> MakeTensor(Entry& entry, const std::byte* data, uint64_t data_bytes) {
  auto dtype = ParseDType(entry.dtype);
  if (!dtype)
    return Unimplemented("tensor '{}' has the type {}, which has no implementation", entry.name,
                         entry.dtype);
  if (entry.shape.size() > Shape::kMaxRank)
    return Unimplemented("tensor '{}' has {} dimensions, the limit is {}", entry.name,
                         entry.shape.size(), Shape::kMaxRank);
  const uint64_t begin = entry.offsets[0], end = entry.offsets[1];
  if (begin > end || end > data_bytes)
    return DataLoss("tensor '{}' lies at bytes [{}, {}) of the data, which has {}", entry.name,
                    begin, end, data_bytes);
  int64_t bytes = Info(*dtype).block_bytes;
  std::vector<int64_t> dims;
  for (uint64_t dim : entry.shape) {
    if (__builtin_mul_overflow(bytes, dim, &bytes))
      return DataLoss("tensor '{}': its dimensions overflow 64 bits", entry.name);
    dims.push_back(static_cast<int64_t>(dim));
  }
  if (static_cast<uint64_t>(bytes) != end - begin)
    return DataLoss("tensor '{}': its shape {} of {} takes {} bytes, its data_offsets {}",
                    entry.name, Shape(dims).ToString(), entry.dtype, bytes, end - begin);
  return NamedTensor{std::move(entry.name),
                     Tensor(const_cast<std::byte*>(data) + begin, *dtype, Shape(dims))};
}

StatusOr<std::vector<NamedTensor>> Read(std::span<const std::byte> bytes) {
  uint64_t header_bytes = 0;
  if (bytes.size() < sizeof(header_bytes))
    return DataLoss("{} bytes are too few for a header", bytes.size());
  std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
  if (header_bytes > bytes.size() - sizeof(header_bytes))
    return DataLoss("the header says that it has {} bytes, the file has {}", header_bytes,
                    bytes.size());
  const auto* text = reinterpret_cast<const char*>(bytes.data()) + sizeof(header_bytes);
  json::basic_parser<HeaderHandler> parser{json::parse_options{}};
  boost::system::error_code error;
  const std::size_t consumed = parser.write_some(false, text, header_bytes, error);
  if (!parser.handler().problem().empty()) return DataLoss("{}", parser.handler().problem());
  if (error)
    return DataLoss("the header is not valid JSON at byte {}: {}", consumed, error.message());
  for (std::size_t i = consumed; i < header_bytes; ++i)
    if (text[i] != ' ') return DataLoss("text after the header's JSON at byte {}", i);

  std::vector<Entry>& entries = parser.handler().entries();
  const uint64_t data_bytes = bytes.size() - sizeof(header_bytes) - header_bytes;
  const std::byte* data = bytes.data() + sizeof(header_bytes) + header_bytes;
  std::ranges::sort(entries, {}, &Entry::name);
  for (std::size_t i = 1; i < entries.size(); ++i)
    if (entries[i].name == entries[i - 1].name)
      return DataLoss("tensor '{}' stands twice in the header", entries[i].name);
  for (const Entry& entry : entries)
    if (entry.offsets.size() != 2)
      return DataLoss("tensor '{}': data_offsets has {} items instead of 2", entry.name,
                      entry.offsets.size());
  BANYAN_RETURN_IF_ERROR(CheckPlaces(entries, data_bytes));
  std::vector<NamedTensor> tensors;
  tensors.reserve(entries.size());
  for (Entry& entry : entries) {
    BANYAN_ASSIGN_OR_RETURN(NamedTensor tensor, MakeTensor(entry, data, data_bytes));
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

}  // namespace

StatusOr<std::vector<NamedTensor>> ReadSafetensors(const MappedFile& file) {
  auto tensors = Read(file.bytes());
  if (!tensors.ok()) return Annotate(tensors.status(), file.path());
  return tensors;
}

}  // namespace banyan::weights
