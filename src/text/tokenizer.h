// SPDX-License-Identifier: Apache-2.0
// Tokenizer: text to ids and back, as Hugging Face's tokenizers do it. Immutable and thread-safe
// once made.
//
// Behind it stands ffi/text (tokenizers 1.0, and 0.22 for what that refuses). GGUF's embedded
// vocabularies are turned into a tokenizer.json first (text/gguf_vocab.h), so there is one path for
// all.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace banyan::text {

using TokenId = int32_t;

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // `tokenizer_json` as in the file; `config` is tokenizer_config.json (may be empty): bos, eos,
  // add_bos_token, ...
  static StatusOr<std::shared_ptr<const Tokenizer>> FromJson(std::string_view tokenizer_json,
                                                             const json::object& config);
  // A model folder (tokenizer.json, tokenizer_config.json, special_tokens_map.json) or a .gguf
  // file.
  static StatusOr<std::shared_ptr<const Tokenizer>> Load(const std::string& model_path);

  // `add_special`: BOS/EOS as the tokenizer's post-processor says. Special tokens written out in
  // the text always match. Text that is not UTF-8 is refused.
  virtual StatusOr<std::vector<TokenId>> Encode(std::string_view text, bool add_special) const = 0;
  // Whole decoding; ids that are no token are refused by number.
  virtual StatusOr<std::string> Decode(std::span<const TokenId> ids, bool skip_special) const = 0;
  // The bytes of one token as it appears within a text (for logprobs); may be part of a character.
  virtual std::string TokenBytes(TokenId id) const = 0;
  virtual std::optional<TokenId> TokenToId(std::string_view token) const = 0;
  virtual bool IsSpecial(TokenId id) const = 0;
  virtual int vocab_size() const = 0;
  virtual std::optional<TokenId> bos_id() const = 0;
  virtual std::optional<TokenId> eos_id() const = 0;
};

}  // namespace banyan::text
