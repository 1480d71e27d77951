// SPDX-License-Identifier: Apache-2.0
#include "text/detokenizer.h"

#include <utility>

namespace banyan::text {

Detokenizer::Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special,
                         std::span<const TokenId> context)
    : tokenizer_(std::move(tokenizer)),
      skip_special_(skip_special),
      stream_(tokenizer_->decoder().Start()) {
  if (context.empty()) return;
  std::string ignored;
  for (TokenId id : context) Push(id, ignored);
  stream_->Forget();
}

void Detokenizer::Push(TokenId id, std::string& out) {
  if (skip_special_ && tokenizer_->IsSpecial(id)) return;
  if (auto token = tokenizer_->TokenText(id)) stream_->Push(*token, out);
}

std::string Detokenizer::Push(TokenId id) {
  std::string out;
  Push(id, out);
  return out;
}

std::string Detokenizer::Finish() {
  std::string out;
  stream_->Finish(out);
  return out;
}

}  // namespace banyan::text
