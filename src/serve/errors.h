// SPDX-License-Identifier: Apache-2.0
// Failures in OpenAI's form: {"error": {"message", "type", "param", "code"}}.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "serve/http.h"

namespace banyan::serve {

// `param`: the request's field that the error is about; empty when it is about none.
std::string ErrorJson(int http_status, std::string_view message, std::string_view param = {},
                      std::string_view code = {});
HttpResponse ErrorResponse(int http_status, std::string_view message, std::string_view param = {},
                           std::string_view code = {});

// The status's code decides the HTTP status (base/status.h). A message that begins with
// "request: 'NAME'" (base/fields.h) or "name must" gives `param`; what is full carries Retry-After.
std::string ErrorJson(const Status& status);
HttpResponse ErrorResponse(const Status& status);

}  // namespace banyan::serve
