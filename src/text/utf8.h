// SPDX-License-Identifier: Apache-2.0
// UTF-8: validity, and decoding of a byte stream in which every maximal broken part becomes U+FFFD
// (as the Unicode standard recommends and Rust's from_utf8_lossy does).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace banyan::text {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

enum class Utf8Part { kWhole, kCut, kBroken };

// The first character of `bytes` (not empty): whole, the valid beginning of one, or broken; `size`
// is how many bytes that is.
Utf8Part NextUtf8(std::string_view bytes, std::size_t& size);

bool IsUtf8(std::string_view bytes);

void AppendUtf8(std::string& out, char32_t character);

// The next character of valid UTF-8; advances `at`.
char32_t DecodeUtf8(std::string_view text, std::size_t& at);

}  // namespace banyan::text
