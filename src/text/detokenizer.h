// SPDX-License-Identifier: Apache-2.0
// Detokenizer: streaming decode of one sequence. The pieces that Push and Finish return, joined,
// equal the whole decode, and no piece ends within a character or within what a later token may
// still change. Not thread-safe; borrows the tokenizer.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace banyan::text {

class Detokenizer {
 public:
  // `context`: the last tokens of the prompt, which decide such things as a leading space; they are
  // not part of the output.
  Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special,
              std::span<const TokenId> context = {});

  std::string Push(TokenId id);  // text that is now certain; often empty
  std::string Finish();          // what was held back: broken bytes become U+FFFD here only

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  bool skip_special_;
  std::vector<TokenId> ids_;  // the window that is decoded again at each push
  std::size_t read_ = 0;
  std::string emitted_;  // text of the window already given out
};

}  // namespace banyan::text
