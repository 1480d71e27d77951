// SPDX-License-Identifier: Apache-2.0
// A tokenizer without a learned vocabulary: token i is byte i, and 256 ends a text. For the echo
// model and for tests.
#pragma once

#include <memory>

#include "base/status.h"
#include "text/tokenizer.h"

namespace banyan {

inline constexpr text::TokenId kByteTokenizerEnd = 256;

StatusOr<std::shared_ptr<const text::Tokenizer>> MakeByteTokenizer();

}  // namespace banyan
