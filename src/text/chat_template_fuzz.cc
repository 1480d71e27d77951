// SPDX-License-Identifier: Apache-2.0
// A hostile template, with its variables as JSON behind a NUL: text or an error, soon.
#include <cstdint>

#include "text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  using namespace banyan;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = std::min(input.find('\0'), input.size());
  auto compiled = text::ChatTemplate::Compile(input.substr(0, cut));
  if (!compiled.ok()) return 0;
  const json::object defaults = {
      {"messages", json::array{json::object{{"role", "user"}, {"content", "Hi"}}}},
      {"bos_token", "<s>"}};
  auto text = (*compiled)->RenderJson(input.substr(std::min(cut + 1, size)), defaults, 0);
  return 0;
}
