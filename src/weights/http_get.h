// SPDX-License-Identifier: Apache-2.0
// One HTTP/1.1 GET or HEAD over plain TCP or TLS, the body streamed to a callback. Redirects and
// retries are the caller's business. Blocking; every call makes its own connection.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/status.h"

namespace banyan::weights {

struct HttpRequest {
  std::string url;         // http:// or https://
  bool head_only = false;  // HEAD
  std::map<std::string, std::string> headers;
  std::string ca_file;  // PEM; empty: the system's
  int timeout_seconds = 10;
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
};

// `on_head` sees status and headers before any of the body; the body (decoded, without limit) goes
// to `on_body` only if it returns true. A failure of on_body ends the call with that status.
// kUnavailable: no connection, or it broke; kDeadlineExceeded: nothing came within the time;
// kPermissionDenied: the certificate is not trusted.
Status HttpGet(const HttpRequest& request, const std::function<bool(const HttpResponse&)>& on_head,
               const std::function<Status(std::string_view)>& on_body);

struct Url {
  bool tls = false;
  std::string host;
  std::string port;
  std::string target;  // path and query
  std::string Origin() const { return (tls ? "https://" : "http://") + host + ":" + port; }
};
StatusOr<Url> ParseUrl(std::string_view url);

}  // namespace banyan::weights
