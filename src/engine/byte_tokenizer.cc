// SPDX-License-Identifier: Apache-2.0
#include "engine/byte_tokenizer.h"

#include "text/utf8.h"

namespace banyan {
namespace {

constexpr char kEndText[] = "<|end|>";

// The printable character by which byte-level BPE (Radford et al. 2019) spells a byte.
std::string Spelling(int byte) {
  const auto printable = [](int b) {
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
  };
  int character = byte;
  if (!printable(byte)) {
    character = 256;
    for (int b = 0; b < byte; ++b) character += printable(b) ? 0 : 1;
  }
  std::string out;
  text::AppendUtf8(out, static_cast<char32_t>(character));
  return out;
}

}  // namespace

StatusOr<std::shared_ptr<const text::Tokenizer>> MakeByteTokenizer() {
  json::object vocab;
  for (int byte = 0; byte < 256; ++byte) vocab[Spelling(byte)] = byte;
  const json::object byte_level = {{"type", "ByteLevel"},
                                   {"add_prefix_space", false},
                                   {"trim_offsets", true},
                                   {"use_regex", false}};
  const json::object file = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", json::array{json::object{{"id", kByteTokenizerEnd},
                                                {"content", kEndText},
                                                {"single_word", false},
                                                {"lstrip", false},
                                                {"rstrip", false},
                                                {"normalized", false},
                                                {"special", true}}}},
      {"normalizer", nullptr},
      {"pre_tokenizer", byte_level},
      {"post_processor", nullptr},
      {"decoder", byte_level},
      {"model", {{"type", "BPE"}, {"vocab", std::move(vocab)}, {"merges", json::array{}}}}};
  return text::Tokenizer::FromJson(json::serialize(file), {{"eos_token", kEndText}});
}

}  // namespace banyan
