// SPDX-License-Identifier: Apache-2.0
#include "text/utf8.h"

#include <algorithm>

namespace banyan::text {

Utf8Part NextUtf8(std::string_view bytes, std::size_t& size) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = at(0);
  size = 1;
  if (lead < 0x80) return Utf8Part::kWhole;
  if (lead < 0xC2 || lead > 0xF4) return Utf8Part::kBroken;
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte's range excludes overlong forms, surrogates and what lies beyond U+10FFFF.
  unsigned char low = 0x80, high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (; size < length; ++size) {
    if (size == bytes.size()) return Utf8Part::kCut;
    if (at(size) < low || at(size) > high) return Utf8Part::kBroken;
    low = 0x80;
    high = 0xBF;
  }
  return Utf8Part::kWhole;
}

bool IsUtf8(std::string_view bytes) {
  std::size_t size = 0;
  while (!bytes.empty()) {
    if (NextUtf8(bytes, size) != Utf8Part::kWhole) return false;
    bytes.remove_prefix(size);
  }
  return true;
}

void AppendUtf8(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

char32_t DecodeUtf8(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(at);
  const std::size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t c = length == 1 ? lead : lead & (0xFF >> (length + 1));
  for (std::size_t i = 1; i < length && at + i < text.size(); ++i)
    c = (c << 6) | (byte(at + i) & 0x3F);
  at = std::min(text.size(), at + length);
  return c;
}

}  // namespace banyan::text
