// SPDX-License-Identifier: Apache-2.0
#include "serve/auth.h"

#include <algorithm>

#include "serve/errors.h"

namespace banyan::serve {
namespace {

bool HasKey(const HttpRequest& request, std::string_view key) {
  constexpr std::string_view kScheme = "bearer ";
  std::string_view header = request.Header("Authorization");
  const bool bearer = header.size() > kScheme.size() &&
                      std::equal(kScheme.begin(), kScheme.end(), header.begin(),
                                 [](char a, char b) { return a == (b == ' ' ? b : b | 0x20); });
  if (bearer && EqualInConstantTime(header.substr(kScheme.size()), key)) return true;
  header = request.Header("X-API-Key");
  return !header.empty() && EqualInConstantTime(header, key);
}

}  // namespace

bool EqualInConstantTime(std::string_view a, std::string_view b) {
  // A length that differs is folded in, and `a` is then compared with itself.
  const std::string_view other = a.size() == b.size() ? b : a;
  volatile unsigned char difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i)
    difference =
        difference | (static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(other[i]));
  return difference == 0;
}

Auth::Auth(std::string api_key, std::string admin_api_key, std::vector<std::string> open_paths)
    : api_key_(std::move(api_key)),
      admin_api_key_(std::move(admin_api_key)),
      open_paths_(std::move(open_paths)) {}

std::optional<HttpResponse> Auth::Check(const HttpRequest& request) const {
  const Route* route = request.route;
  if (route != nullptr && route->access == Access::kOpen) return std::nullopt;
  const bool admin = route != nullptr && route->access == Access::kAdmin && !admin_api_key_.empty();
  const std::string& key = admin ? admin_api_key_ : api_key_;
  if (key.empty() || HasKey(request, key)) return std::nullopt;
  if (route != nullptr &&
      std::find(open_paths_.begin(), open_paths_.end(), route->pattern) != open_paths_.end())
    return std::nullopt;
  return ErrorResponse(401, admin ? "this path needs the admin API key"
                                  : "a valid API key is needed: Authorization: Bearer KEY");
}

}  // namespace banyan::serve
