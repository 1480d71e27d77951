// SPDX-License-Identifier: Apache-2.0
// Who may call what. With an API key every path is closed but /health and those opened by name;
// with an admin key the control paths take only that one, as in SGLang. Keys come as
// "Authorization: Bearer KEY" or "X-API-Key: KEY" and are compared in constant time.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/http.h"

namespace banyan::serve {

class Auth {
 public:
  Auth(std::string api_key, std::string admin_api_key, std::vector<std::string> open_paths);
  // A reply refuses the request; without a route it is refused as a path that is closed.
  std::optional<HttpResponse> Check(const HttpRequest& request) const;

 private:
  std::string api_key_, admin_api_key_;
  std::vector<std::string> open_paths_;
};

// Takes time that depends on the lengths only.
bool EqualInConstantTime(std::string_view a, std::string_view b);

}  // namespace banyan::serve
