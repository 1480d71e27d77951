// SPDX-License-Identifier: Apache-2.0
// JsonWriter: appends JSON to a string without building a tree. Commas are placed by what stands
// before; nesting is the caller's business. Not thread-safe.
//
//   JsonWriter json(out);
//   json.Begin('{').Field("id", id).Key("choices").Begin('[') ... .End(']').End('}');
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"

namespace banyan::serve {

// Appends `text` between quotes, escaped. `text` must be UTF-8.
void AppendJsonString(std::string& out, std::string_view text);
// The same without the quotes.
void AppendJsonEscaped(std::string& out, std::string_view text);
// `text` with every broken part replaced by U+FFFD: for what is quoted from foreign bytes.
std::string ValidUtf8(std::string_view text);
// Shortest form that reads back to the same number, always with a point or an exponent. What JSON
// cannot say becomes -9999.0 (minus infinity, as OpenAI does for improbable tokens) or null.
void AppendJsonNumber(std::string& out, double value);
void AppendJsonNumber(std::string& out, float value);

class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(&out) {}

  JsonWriter& Begin(char bracket);
  JsonWriter& End(char bracket);
  JsonWriter& Key(std::string_view key);
  JsonWriter& Null() { return Raw("null"); }
  JsonWriter& Raw(std::string_view json);  // JSON: a value, or several with their commas
  JsonWriter& Value(std::string_view text);
  JsonWriter& Value(const char* text) { return Value(std::string_view(text)); }
  JsonWriter& Value(const std::string& text) { return Value(std::string_view(text)); }
  JsonWriter& Value(bool value) { return Raw(value ? "true" : "false"); }
  JsonWriter& Value(double value);
  JsonWriter& Value(float value);
  JsonWriter& Value(const json::value& value);
  template <std::integral T>
  JsonWriter& Value(T value) {
    if constexpr (std::is_unsigned_v<T>) {
      return Unsigned(value);
    } else {
      return Signed(value);
    }
  }
  template <typename T>
  JsonWriter& Field(std::string_view key, const T& value) {
    return Key(key).Value(value);
  }

 private:
  JsonWriter& Signed(int64_t value);
  JsonWriter& Unsigned(uint64_t value);
  void Comma();

  std::string* out_;
};

}  // namespace banyan::serve
