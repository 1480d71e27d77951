// SPDX-License-Identifier: Apache-2.0
// Tokens as the logprobs of a reply show them.
#pragma once

#include <string>
#include <string_view>

#include "serve/json_writer.h"
#include "text/tokenizer.h"

namespace banyan::serve {

// The token's bytes as text; broken bytes become U+FFFD.
std::string TokenText(const text::Tokenizer* tokenizer, text::TokenId id);
// The same, but a token that is not whole characters becomes "bytes:\xe2\x80": different tokens
// stay different when they are the keys of an object.
std::string TokenKey(const text::Tokenizer* tokenizer, text::TokenId id);
// [226,128]
void AppendBytes(std::string& out, std::string_view bytes);

}  // namespace banyan::serve
