// SPDX-License-Identifier: Apache-2.0
// A hostile tokenizer.json, with its config behind a NUL: an error or a tokenizer that works.
#include <cstdint>

#include "text/detokenizer.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  using namespace banyan;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = std::min(input.find('\0'), input.size());
  auto config = ParseJsonObject(input.substr(std::min(cut + 1, size)), "config");
  auto tokenizer =
      text::Tokenizer::FromJson(input.substr(0, cut), config.ok() ? *config : json::object());
  if (!tokenizer.ok()) return 0;
  auto ids = (*tokenizer)->Encode("Hello, W\xC3\xB6rld! <s>\n12 \xE2\x96\x81", true);
  if (!ids.ok()) return 0;
  text::Detokenizer detokenizer(*tokenizer, false);
  for (text::TokenId id : *ids) detokenizer.Push(id);
  detokenizer.Finish();
  return 0;
}
