// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

namespace banyan {

StatusOr<json::value> ParseJson(std::string_view text, int max_depth) {
  json::parse_options options;
  options.max_depth = static_cast<std::size_t>(max_depth);
  unsigned char temporary[4096];  // for what is open while it parses
  json::stream_parser parser(json::storage_ptr(), options, temporary);
  boost::system::error_code error;
  std::size_t consumed = parser.write_some(text.data(), text.size(), error);
  if (!error && consumed < text.size()) {
    return InvalidArgument("not valid JSON: extra text at byte {}", consumed);
  }
  if (!error) parser.finish(error);
  if (error == json::error::too_deep)
    return InvalidArgument("JSON is nested deeper than {} levels", max_depth);
  if (error) return InvalidArgument("not valid JSON at byte {}: {}", consumed, error.message());
  return parser.release();
}

StatusOr<json::object> ParseJsonObject(std::string_view text, std::string_view what,
                                       int max_depth) {
  auto value = ParseJson(text, max_depth);
  if (!value.ok()) return Annotate(value.status(), what);
  if (!value->is_object())
    return InvalidArgument("{}: expected a JSON object, found {}", what, JsonTypeName(*value));
  return std::move(value->as_object());
}

std::string_view JsonTypeName(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "boolean";
    case json::kind::int64:
    case json::kind::uint64:
      return "integer";
    case json::kind::double_:
      return "number";
    case json::kind::string:
      return "string";
    case json::kind::array:
      return "array";
    case json::kind::object:
      return "object";
  }
  return "value";
}

}  // namespace banyan
