// SPDX-License-Identifier: Apache-2.0
// The vocabulary that a GGUF file carries (tokenizer.ggml.*), as plain values, and its translation
// into a tokenizer.json that gives llama.cpp's ids. Whoever reads the file fills the struct.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace banyan::text {

// tokenizer.ggml.token_type, llama.cpp's numbers.
enum class GgufTokenType : int32_t {
  kUndefined = 0,
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

struct GgufVocab {
  std::string model;  // tokenizer.ggml.model: "gpt2" (BPE), "llama" (SPM), "t5", "bert"
  std::string pre;    // tokenizer.ggml.pre: names BPE's pre-tokenizer; may be empty for the others
  std::string architecture, name;  // general.*: the one sign of tokens that take spaces with them
  std::vector<std::string> tokens;
  std::vector<float> scores;         // SPM and t5
  std::vector<int32_t> token_types;  // may be empty: all normal
  std::vector<std::string> merges;   // BPE
  std::optional<int64_t> bos_id, eos_id, unk_id, sep_id, pad_id, mask_id;
  // add_sep_token is not among them: it is about pairs of texts.
  std::optional<bool> add_bos, add_eos, add_space_prefix, remove_extra_whitespaces;
  std::optional<bool> lowercase, strip_accents;  // bert: tokenizer.ggml.normalizer.*
  std::vector<uint8_t> precompiled_charsmap;     // t5
};

// tokenizer.json and the tokenizer_config.json that goes with it. An unknown model or pre-tokenizer
// is refused by name.
struct GgufTokenizerFiles {
  std::string tokenizer_json;
  json::object config;
};
StatusOr<GgufTokenizerFiles> TokenizerFromGguf(const GgufVocab& vocab);

// The tokenizer_config.json alone: the special tokens, add_bos_token and add_eos_token.
json::object GgufConfig(const GgufVocab& vocab);

}  // namespace banyan::text
