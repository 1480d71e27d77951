// SPDX-License-Identifier: Apache-2.0
// Tokenizer: text to ids and back, as Hugging Face's tokenizers and transformers do it. Immutable
// and thread-safe once made.
//
// Behind it stands ffi/text (tokenizers 1.0, and 0.22 for what that refuses) for encoding, and
// text/decoder.h for decoding. GGUF's embedded vocabularies and sentencepiece models are turned
// into a tokenizer.json first (text/gguf_vocab.h, text/sentencepiece.h), so there is one path for
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
#include "text/decoder.h"

namespace banyan::text {

using TokenId = int32_t;
struct GgufVocab;

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // `tokenizer_json` as in the file; `config` is tokenizer_config.json (may be empty). Of it take
  // effect, as in transformers: the special tokens, added_tokens_decoder, split_special_tokens,
  // clean_up_tokenization_spaces; add_bos_token and add_eos_token for the classes that have them
  // (Llama, Gemma, Cohere).
  static StatusOr<std::shared_ptr<const Tokenizer>> FromJson(std::string_view tokenizer_json,
                                                             const json::object& config);
  static StatusOr<std::shared_ptr<const Tokenizer>> FromGgufVocab(const GgufVocab& vocab);
  // A model folder: tokenizer.json with tokenizer_config.json and special_tokens_map.json; without
  // a tokenizer.json, a sentencepiece tokenizer.model. (For a .gguf file see engine/text_model.h.)
  static StatusOr<std::shared_ptr<const Tokenizer>> Load(const std::string& folder);

  // `add_special`: BOS/EOS as the tokenizer's post-processor says. Special tokens written out in
  // the text always match. Text that is not UTF-8 is refused.
  virtual StatusOr<std::vector<TokenId>> Encode(std::string_view text, bool add_special) const = 0;
  // Whole decoding; ids that are no token are refused by number. For streaming: Detokenizer.
  virtual StatusOr<std::string> Decode(std::span<const TokenId> ids, bool skip_special) const = 0;
  // The bytes of one token as it appears within a text (for logprobs); may be part of a character.
  virtual std::string TokenBytes(TokenId id) const = 0;
  // The token as the vocabulary spells it, borrowed; none for an id that is no token.
  virtual std::optional<std::string_view> TokenText(TokenId id) const = 0;
  virtual std::optional<TokenId> TokenToId(std::string_view token) const = 0;
  virtual bool IsSpecial(TokenId id) const = 0;
  virtual int vocab_size() const = 0;  // one more than the largest id
  virtual std::optional<TokenId> bos_id() const = 0;
  virtual std::optional<TokenId> eos_id() const = 0;

  virtual const Decoder& decoder() const = 0;
  // bos_token, eos_token, unk_token, pad_token, ... as a chat template sees them.
  virtual const json::object& special_tokens() const = 0;
};

}  // namespace banyan::text
