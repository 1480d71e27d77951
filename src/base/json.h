// SPDX-License-Identifier: Apache-2.0
// JSON is Boost.JSON under the name `json`; parsing foreign text goes through ParseJson, which
// bounds the depth and turns every failure into a Status that names the byte offset.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>

#include "base/status.h"

namespace banyan {

namespace json = boost::json;

inline constexpr int kMaxJsonDepth = 128;

// One JSON value and nothing after it but white space. Duplicate keys: the last one wins, as in
// Python.
StatusOr<json::value> ParseJson(std::string_view text, int max_depth = kMaxJsonDepth);

// The same for text that must be an object; `what` names it in the error.
StatusOr<json::object> ParseJsonObject(std::string_view text, std::string_view what,
                                       int max_depth = kMaxJsonDepth);

inline std::string_view View(const json::string& text) { return {text.data(), text.size()}; }

// "object", "array", "string", ... as users name them.
std::string_view JsonTypeName(const json::value& value);

}  // namespace banyan
