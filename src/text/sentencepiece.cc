// SPDX-License-Identifier: Apache-2.0
#include "text/sentencepiece.h"

#include <cstring>
#include <optional>
#include <utility>

namespace banyan::text {
namespace {

// One field of a protobuf message.
struct Field {
  uint32_t number;
  uint64_t value = 0;      // of a varint or a fixed width
  std::string_view bytes;  // of a length-delimited one
};

// Reads the fields of a message one after the other; `ok` turns false at a broken one.
class ProtoReader {
 public:
  explicit ProtoReader(std::string_view bytes) : rest_(bytes) {}
  bool ok() const { return ok_; }

  std::optional<Field> Next() {
    if (rest_.empty() || !ok_) return std::nullopt;
    const uint64_t tag = Varint();
    Field field{static_cast<uint32_t>(tag >> 3)};
    switch (tag & 7) {
      case 0:
        field.value = Varint();
        break;
      case 1:
        field.value = Fixed(8);
        break;
      case 2:
        field.bytes = Take(Varint());
        break;
      case 5:
        field.value = Fixed(4);
        break;
      default:
        ok_ = false;
    }
    if (!ok_) return std::nullopt;
    return field;
  }

 private:
  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) break;
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= uint64_t{byte & 0x7Fu} << shift;
      if (!(byte & 0x80)) return value;
    }
    ok_ = false;
    return 0;
  }
  std::string_view Take(uint64_t size) {
    if (size > rest_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  uint64_t Fixed(std::size_t size) {
    const std::string_view bytes = Take(size);
    if (!ok_) return 0;
    uint64_t value = 0;
    std::memcpy(&value, bytes.data(), bytes.size());  // little endian, as this machine
    return value;
  }

  std::string_view rest_;
  bool ok_ = true;
};

float AsFloat(uint64_t bits) {
  const auto low = static_cast<uint32_t>(bits);
  float value;
  std::memcpy(&value, &low, sizeof value);
  return value;
}

bool ReadPiece(std::string_view bytes, GgufVocab& vocab) {
  ProtoReader message(bytes);
  std::string piece;
  float score = 0;
  int32_t type = static_cast<int32_t>(GgufTokenType::kNormal);  // the same numbers as GGUF's
  while (auto field = message.Next()) {
    if (field->number == 1) piece = field->bytes;
    if (field->number == 2) score = AsFloat(field->value);
    if (field->number == 3) type = static_cast<int32_t>(field->value);
  }
  vocab.tokens.push_back(std::move(piece));
  vocab.scores.push_back(score);
  vocab.token_types.push_back(type);
  return message.ok();
}

// TrainerSpec: the kind of model and the special ids, of which -1 means none.
bool ReadTrainer(std::string_view bytes, uint64_t& kind, bool& suffix, GgufVocab& vocab) {
  ProtoReader message(bytes);
  vocab.unk_id = 0;
  vocab.bos_id = 1;
  vocab.eos_id = 2;
  while (auto field = message.Next()) {
    const auto id = static_cast<int64_t>(static_cast<int32_t>(field->value));
    if (field->number == 3) kind = field->value;
    if (field->number == 24) suffix = field->value != 0;  // treat_whitespace_as_suffix
    if (field->number == 40) vocab.unk_id = id;
    if (field->number == 41) vocab.bos_id = id;
    if (field->number == 42) vocab.eos_id = id;
    if (field->number == 43) vocab.pad_id = id;
  }
  return message.ok();
}

bool ReadNormalizer(std::string_view bytes, bool& marks_spaces, GgufVocab& vocab) {
  ProtoReader message(bytes);
  vocab.add_space_prefix = true;
  vocab.remove_extra_whitespaces = true;
  while (auto field = message.Next()) {
    if (field->number == 2)
      vocab.precompiled_charsmap.assign(field->bytes.begin(), field->bytes.end());
    if (field->number == 3) vocab.add_space_prefix = field->value != 0;
    if (field->number == 4) vocab.remove_extra_whitespaces = field->value != 0;
    if (field->number == 5) marks_spaces = field->value != 0;  // escape_whitespaces
  }
  return message.ok();
}

}  // namespace

StatusOr<GgufVocab> ParseSentencePieceModel(std::string_view bytes) {
  GgufVocab vocab;
  uint64_t kind = 1;
  bool suffix = false, marks_spaces = true;
  ProtoReader message(bytes);
  bool ok = ReadTrainer({}, kind, suffix, vocab) && ReadNormalizer({}, marks_spaces, vocab);
  while (auto field = message.Next()) {
    if (field->number == 1) ok = ReadPiece(field->bytes, vocab) && ok;
    if (field->number == 2) ok = ReadTrainer(field->bytes, kind, suffix, vocab) && ok;
    if (field->number == 3) ok = ReadNormalizer(field->bytes, marks_spaces, vocab) && ok;
  }
  if (!ok || !message.ok() || vocab.tokens.empty())
    return InvalidArgument("not a sentencepiece model, or a cut one");
  if (kind != 1 && kind != 2)
    return Unimplemented("a sentencepiece model that is neither Unigram nor BPE (type {})", kind);
  if (suffix || !marks_spaces)
    return Unimplemented("a sentencepiece model with spaces {}",
                         suffix ? "at the end of words" : "that stay spaces");
  vocab.model = kind == 2 ? "llama" : "t5";
  return vocab;
}

}  // namespace banyan::text
