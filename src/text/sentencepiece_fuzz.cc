// SPDX-License-Identifier: Apache-2.0
// A hostile tokenizer.model: an error or a tokenizer.
#include <cstdint>

#include "text/sentencepiece.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  using namespace banyan;
  auto vocab = text::ParseSentencePieceModel({reinterpret_cast<const char*>(data), size});
  if (!vocab.ok()) return 0;
  auto tokenizer = text::Tokenizer::FromGgufVocab(*vocab);
  if (tokenizer.ok()) auto ids = (*tokenizer)->Encode("Hello, world", true);
  return 0;
}
