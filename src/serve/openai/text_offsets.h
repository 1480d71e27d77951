// SPDX-License-Identifier: Apache-2.0
// Where the tokens of a completion begin in the text of its reply, in characters: what OpenAI calls
// text_offset. The text is made of streamed pieces, so a token that adds nothing to it (a special
// one, the first bytes of a character) begins where the next character does. Not thread-safe.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace banyan::serve {

class TextOffsets {
 public:
  // `prompt_end`: the prompt's last tokens, which decide how the output's text begins. `echo`: the
  // text by which the reply repeats the prompt, if it does.
  TextOffsets(const std::shared_ptr<const text::Tokenizer>& tokenizer, bool skip_special,
              std::span<const text::TokenId> prompt_end, std::string echo);
  TextOffsets(const TextOffsets&) = delete;
  TextOffsets& operator=(const TextOffsets&) = delete;

  int64_t OfPrompt(text::TokenId id);  // the prompt's tokens in turn, from its first on
  int64_t OfOutput(text::TokenId id);  // the output's

 private:
  int64_t Add(text::TokenId id, std::string_view piece, const text::Detokenizer& from);

  std::shared_ptr<const text::Tokenizer> tokenizer_;
  text::Detokenizer prompt_, output_;
  std::string echo_;
  std::string_view left_;  // of the echo
  int64_t next_ = 0;
  int64_t held_ = 0;  // characters of a run of bytes that come next
  bool prompt_ended_ = false;
};

}  // namespace banyan::serve
