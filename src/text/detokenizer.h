// SPDX-License-Identifier: Apache-2.0
// Detokenizer: streaming decode of one sequence. The pieces that Push and Finish return, joined,
// equal the whole decode, and no piece ends within a character or within what a later token may
// still change. Time and memory per token do not grow with the sequence. Not thread-safe; keeps
// the tokenizer alive.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "text/tokenizer.h"

namespace banyan::text {

class Detokenizer {
 public:
  // `context`: the last tokens of the prompt, which decide such things as a leading space; they are
  // not part of the output.
  Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special,
              std::span<const TokenId> context = {});
  // Goes on from where `other` is.
  Detokenizer(const Detokenizer& other, bool skip_special);

  // Text that is now certain; often empty. An id that is no token (models pad their vocabulary)
  // adds nothing, as in transformers.
  std::string Push(TokenId id);
  // What was held back: the bytes of a character that stayed incomplete become U+FFFD here.
  std::string Finish();
  // What Finish would return now, where that is whole characters: a run of byte tokens, a word that
  // may be the last.
  std::string Held() const;
  // Whether it is a special token that is left out.
  bool Skips(TokenId id) const;

 private:
  void Push(TokenId id, std::string& out);

  std::shared_ptr<const Tokenizer> tokenizer_;
  bool skip_special_;
  std::unique_ptr<DecodeStream> stream_;
};

}  // namespace banyan::text
