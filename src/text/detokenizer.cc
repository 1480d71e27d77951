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

Detokenizer::Detokenizer(const Detokenizer& other, bool skip_special)
    : tokenizer_(other.tokenizer_),
      skip_special_(skip_special),
      stream_(std::make_unique<DecodeStream>(*other.stream_)) {}

bool Detokenizer::Skips(TokenId id) const { return skip_special_ && tokenizer_->IsSpecial(id); }

void Detokenizer::Push(TokenId id, std::string& out) {
  if (Skips(id)) return;
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

std::string Detokenizer::Held() const { return stream_->Held(); }

}  // namespace banyan::text
