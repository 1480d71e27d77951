// SPDX-License-Identifier: Apache-2.0
// What of HTTP needs no network: requests' small readers and the table of routes.
#include <algorithm>

#include "serve/http.h"

namespace banyan::serve {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool SameName(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = Lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace

StatusOr<std::string> PercentDecode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '+' && plus_is_space) {
      c = ' ';
    } else if (c == '%') {
      const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
      const int low = high >= 0 ? HexDigit(text[i + 2]) : -1;
      if (low < 0) return InvalidArgument("'%' at byte {} is not followed by two hex digits", i);
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c == '\0') return InvalidArgument("a zero byte in the request's target");
    out += c;
  }
  return out;
}

std::string_view HttpRequest::Header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (SameName(key, name)) return value;
  return {};
}

std::optional<std::string> HttpRequest::QueryValue(std::string_view name) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    const std::string_view item = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), item.size() + 1));
    const std::size_t equals = item.find('=');
    auto key = PercentDecode(item.substr(0, equals), true);
    if (!key.ok() || *key != name) continue;
    if (equals == std::string_view::npos) return std::string();
    auto value = PercentDecode(item.substr(equals + 1), true);
    if (value.ok()) return *std::move(value);
  }
  return std::nullopt;
}

void Router::Add(std::string_view methods, std::string_view pattern, Access access, bool heavy,
                 Handler handler) {
  while (!methods.empty()) {
    const std::string_view method = methods.substr(0, methods.find('|'));
    methods.remove_prefix(std::min(methods.size(), method.size() + 1));
    routes_.push_back(std::make_unique<Route>(
        Route{std::string(method), std::string(pattern), access, heavy, handler}));
  }
}

Router::Match Router::Find(std::string_view method, std::string_view path) const {
  // A '/' too many is no other path, but in a placeholder it belongs to a name.
  std::string_view trimmed = path;
  if (path.size() > 1 && path.back() == '/') trimmed.remove_suffix(1);
  Match match;
  for (const auto& route : routes_) {
    const std::string_view pattern = route->pattern;
    const std::size_t brace = pattern.find('{');
    std::string_view tail;
    if (brace == std::string_view::npos) {
      if (pattern != trimmed) continue;
    } else {
      if (!path.starts_with(pattern.substr(0, brace)) || path.size() == brace) continue;
      tail = path.substr(brace);
    }
    if (route->method == method || (method == "HEAD" && route->method == "GET")) {
      match.route = route.get();
      match.tail = tail;
      return match;
    }
    if (!match.allow.empty()) match.allow += ", ";
    match.allow += route->method;
    if (route->method == "GET") match.allow += ", HEAD";
  }
  return match;
}

}  // namespace banyan::serve
