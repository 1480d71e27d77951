// SPDX-License-Identifier: Apache-2.0
// The pre-tokenizers that GGUF files name (tokenizer.ggml.pre), as llama.cpp knows them. Where
// llama.cpp's own regex only imitates the one of the model's tokenizer.json, for lack of an engine,
// ours is the model's; so is the normalization, of which llama.cpp knows none.
//
// Not here, and so refused by their names: "whitespace" and "mmbert", of encoders.
#pragma once

#include <string_view>
#include <vector>

namespace banyan::text {

struct GgufPretokenizer {
  // The splits, each applied to the pieces of the one before; what a regex matches and what lies
  // between its matches both become pieces.
  std::vector<std::string_view> splits;
  bool ignore_merges = false;  // a piece that is a token is taken whole
  bool add_bos = false;        // when the file does not say
  bool add_eos = false;        // likewise: EOS, or the separator, at the end
  bool always_bos = false;     // even when the file says otherwise
  bool byte_level = true;      // false: tokens are plain text with U+2581 for spaces
  bool nfc = false;            // the text is composed first (Unicode's NFC)
};

// Null for an unknown name.
const GgufPretokenizer* FindGgufPretokenizer(std::string_view name);

}  // namespace banyan::text
