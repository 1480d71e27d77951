// SPDX-License-Identifier: Apache-2.0
// SGLang's paths that are not served: each answers 501 with its reason instead of a bare 404, and
// docs/sglang-compatibility.md lists them.
#pragma once

#include <span>
#include <string_view>

namespace banyan::serve {

struct UnservedRoute {
  std::string_view methods;  // "GET|POST"
  std::string_view path;
  bool planned;  // else it is refused for good
  std::string_view reason;
};
std::span<const UnservedRoute> UnservedRoutes();

}  // namespace banyan::serve
