// SPDX-License-Identifier: Apache-2.0
// For tests: a tokenizer that does what another does, but for what a class derived from it changes.
#pragma once

#include <memory>
#include <utility>

#include "text/tokenizer.h"

namespace banyan::text {

class WrappedTokenizer : public Tokenizer {
 public:
  explicit WrappedTokenizer(std::shared_ptr<const Tokenizer> inner) : inner_(std::move(inner)) {}

  StatusOr<std::vector<TokenId>> Encode(std::string_view text, bool add_special) const override {
    return inner_->Encode(text, add_special);
  }
  StatusOr<std::string> Decode(std::span<const TokenId> ids, bool skip_special) const override {
    return inner_->Decode(ids, skip_special);
  }
  std::string TokenBytes(TokenId id) const override { return inner_->TokenBytes(id); }
  std::optional<std::string_view> TokenText(TokenId id) const override {
    return inner_->TokenText(id);
  }
  std::optional<TokenId> TokenToId(std::string_view token) const override {
    return inner_->TokenToId(token);
  }
  bool IsSpecial(TokenId id) const override { return inner_->IsSpecial(id); }
  int vocab_size() const override { return inner_->vocab_size(); }
  std::optional<TokenId> bos_id() const override { return inner_->bos_id(); }
  std::optional<TokenId> eos_id() const override { return inner_->eos_id(); }
  const Decoder& decoder() const override { return inner_->decoder(); }
  const json::object& special_tokens() const override { return inner_->special_tokens(); }

 private:
  const std::shared_ptr<const Tokenizer> inner_;
};

}  // namespace banyan::text
