// SPDX-License-Identifier: Apache-2.0
#include "serve/json_writer.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

#include "text/utf8.h"

namespace banyan::serve {
namespace {

// 0: stands for itself; else the letter after the backslash, 'u' for a \u00xx escape.
constexpr std::array<char, 256> kEscapes = [] {
  std::array<char, 256> table{};
  for (int c = 0; c < 0x20; ++c) table[c] = 'u';
  table['\b'] = 'b';
  table['\f'] = 'f';
  table['\n'] = 'n';
  table['\r'] = 'r';
  table['\t'] = 't';
  table['"'] = '"';
  table['\\'] = '\\';
  return table;
}();

template <typename T>
void AppendFloating(std::string& out, T value) {
  if (!std::isfinite(value)) {
    out += std::isinf(value) && value < 0 ? "-9999.0" : "null";
    return;
  }
  char text[64];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  const std::string_view view(text, end - text);
  out += view;
  if (view.find_first_of(".e") == std::string_view::npos) out += ".0";
}

}  // namespace

void AppendJsonEscaped(std::string& out, std::string_view text) {
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const char escape = kEscapes[c];
    if (escape == 0) continue;
    out.append(text, begin, i - begin);
    begin = i + 1;
    out += '\\';
    out += escape;
    if (escape == 'u') {
      constexpr char kHex[] = "0123456789abcdef";
      out += "00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    }
  }
  out.append(text, begin, text.size() - begin);
}

void AppendJsonString(std::string& out, std::string_view text) {
  out += '"';
  AppendJsonEscaped(out, text);
  out += '"';
}

std::string ValidUtf8(std::string_view text) {
  if (text::IsUtf8(text)) return std::string(text);
  std::string out;
  while (!text.empty()) {
    std::size_t size = 0;
    const bool whole = text::NextUtf8(text, size) == text::Utf8Part::kWhole;
    out += whole ? text.substr(0, size) : text::kReplacementCharacter;
    text.remove_prefix(size);
  }
  return out;
}

void AppendJsonNumber(std::string& out, double value) { AppendFloating(out, value); }
void AppendJsonNumber(std::string& out, float value) { AppendFloating(out, value); }

void JsonWriter::Comma() {
  if (out_->empty()) return;
  const char last = out_->back();
  // A value ends in a quote, a bracket, a digit or a letter; after anything else one begins.
  if (last == '"' || last == ']' || last == '}' || (last >= '0' && last <= '9') ||
      (last >= 'a' && last <= 'z')) {
    *out_ += ',';
  }
}

JsonWriter& JsonWriter::Begin(char bracket) {
  Comma();
  *out_ += bracket;
  return *this;
}

JsonWriter& JsonWriter::End(char bracket) {
  *out_ += bracket;
  return *this;
}

JsonWriter& JsonWriter::Key(std::string_view key) {
  Comma();
  AppendJsonString(*out_, key);
  *out_ += ':';
  return *this;
}

JsonWriter& JsonWriter::Raw(std::string_view json) {
  Comma();
  *out_ += json;
  return *this;
}

JsonWriter& JsonWriter::Value(std::string_view text) {
  Comma();
  AppendJsonString(*out_, text);
  return *this;
}

JsonWriter& JsonWriter::Value(double value) {
  Comma();
  AppendJsonNumber(*out_, value);
  return *this;
}

JsonWriter& JsonWriter::Value(float value) {
  Comma();
  AppendJsonNumber(*out_, value);
  return *this;
}

JsonWriter& JsonWriter::Value(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return Null();
    case json::kind::bool_:
      return Value(value.get_bool());
    case json::kind::int64:
      return Signed(value.get_int64());
    case json::kind::uint64:
      return Unsigned(value.get_uint64());
    case json::kind::double_:
      return Value(value.get_double());
    case json::kind::string:
      return Value(View(value.get_string()));
    case json::kind::array:
      Begin('[');
      for (const json::value& item : value.get_array()) Value(item);
      return End(']');
    case json::kind::object:
      Begin('{');
      for (const auto& item : value.get_object())
        Key({item.key().data(), item.key().size()}).Value(item.value());
      return End('}');
  }
  return *this;
}

JsonWriter& JsonWriter::Signed(int64_t value) {
  Comma();
  fmt::format_to(std::back_inserter(*out_), "{}", value);
  return *this;
}

JsonWriter& JsonWriter::Unsigned(uint64_t value) {
  Comma();
  fmt::format_to(std::back_inserter(*out_), "{}", value);
  return *this;
}

}  // namespace banyan::serve
