// SPDX-License-Identifier: Apache-2.0
#include "serve/openai/text_offsets.h"

#include <algorithm>
#include <utility>

#include "text/utf8.h"

namespace banyan::serve {
namespace {

int64_t Characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

}  // namespace

TextOffsets::TextOffsets(const std::shared_ptr<const text::Tokenizer>& tokenizer, bool skip_special,
                         std::span<const text::TokenId> prompt_end, std::string echo)
    : tokenizer_(tokenizer),
      prompt_(tokenizer, /*skip_special=*/false),
      output_(tokenizer, skip_special, prompt_end),
      echo_(std::move(echo)),
      left_(echo_) {}

// Moves on by a piece, which may begin with what was held back of tokens before its own.
int64_t TextOffsets::Add(text::TokenId id, std::string_view piece, const text::Detokenizer& from) {
  const int64_t before = next_ + held_;
  next_ += Characters(piece);
  if (const std::string text = from.Held(); !text.empty() || !piece.empty())
    held_ = Characters(text);
  const std::string own = tokenizer_->TokenBytes(id);
  const bool held = piece.size() > own.size() && piece.ends_with(own) && text::IsUtf8(own);
  return held ? next_ - Characters(own) : before;
}

int64_t TextOffsets::OfPrompt(text::TokenId id) {
  const std::string text = prompt_.Push(id);
  std::string_view piece = text;
  // The prompt may have come as text, to which tokenizing added a special token and a space.
  if (!left_.starts_with(piece)) {
    if (tokenizer_->IsSpecial(id)) return next_;
    if (piece.starts_with(' ') && left_.starts_with(piece.substr(1))) piece.remove_prefix(1);
  }
  std::size_t bytes = std::min(piece.size(), left_.size());
  while (bytes < left_.size() && (left_[bytes] & 0xC0) == 0x80) ++bytes;
  const int64_t offset = Add(id, left_.substr(0, bytes), prompt_);
  left_.remove_prefix(bytes);
  return offset;
}

int64_t TextOffsets::OfOutput(text::TokenId id) {
  if (!std::exchange(prompt_ended_, true)) {
    next_ = Characters(echo_);
    held_ = 0;
  }
  return Add(id, output_.Push(id), output_);
}

}  // namespace banyan::serve
