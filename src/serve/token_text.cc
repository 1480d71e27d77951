// SPDX-License-Identifier: Apache-2.0
#include "serve/token_text.h"

#include <fmt/format.h>

#include "text/utf8.h"

namespace banyan::serve {

std::string TokenText(const text::Tokenizer* tokenizer, text::TokenId id) {
  if (tokenizer == nullptr) return {};
  return ValidUtf8(tokenizer->TokenBytes(id));
}

std::string TokenKey(const text::Tokenizer* tokenizer, text::TokenId id) {
  if (tokenizer == nullptr) return fmt::format("token_id:{}", id);
  std::string bytes = tokenizer->TokenBytes(id);
  if (text::IsUtf8(bytes)) return bytes;
  std::string out = "bytes:";
  for (unsigned char c : bytes) fmt::format_to(std::back_inserter(out), "\\x{:02x}", c);
  return out;
}

void AppendBytes(std::string& out, std::string_view bytes) {
  out += '[';
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0) out += ',';
    fmt::format_to(std::back_inserter(out), "{}", static_cast<unsigned char>(bytes[i]));
  }
  out += ']';
}

}  // namespace banyan::serve
