// SPDX-License-Identifier: Apache-2.0
#include "serve/errors.h"

#include "base/retry_after.h"
#include "serve/json_writer.h"

namespace banyan::serve {
namespace {

std::string_view ErrorType(int http_status) {
  switch (http_status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    case 503:
    case 504:
      return "service_unavailable_error";
    default:
      return http_status < 500 ? "invalid_request_error" : "server_error";
  }
}

// NAME of "WHERE: 'NAME' ...", as bodies are read, and of "NAME: ..." and "NAME must ...", as the
// engine says it.
std::string_view ParamOf(std::string_view message) {
  const std::size_t size = message.find_first_not_of("abcdefghijklmnopqrstuvwxyz_");
  if (size == 0 || size == message.npos) return {};
  const std::string_view name = message.substr(0, size), rest = message.substr(size);
  if (rest.starts_with(" must ")) return name;
  if (!rest.starts_with(": ")) return {};
  if (!rest.starts_with(": '")) return name == "request" ? std::string_view() : name;
  return rest.substr(3, rest.find('\'', 3) - 3);
}

}  // namespace

std::string ErrorJson(int http_status, std::string_view message, std::string_view param,
                      std::string_view code) {
  std::string out;
  JsonWriter json(out);
  json.Begin('{').Key("error").Begin('{');
  json.Field("message", ValidUtf8(message)).Field("type", ErrorType(http_status));
  json.Key("param");
  param.empty() ? json.Null() : json.Value(ValidUtf8(param));
  json.Key("code");
  code.empty() ? json.Null() : json.Value(code);
  json.End('}').End('}');
  return out;
}

HttpResponse ErrorResponse(int http_status, std::string_view message, std::string_view param,
                           std::string_view code) {
  HttpResponse response;
  response.status = http_status;
  response.body = ErrorJson(http_status, message, param, code);
  // Where nobody knows better: a step or two of the engine.
  if (http_status == 429 || http_status == 503) response.headers.emplace_back("Retry-After", "1");
  if (http_status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

std::string ErrorJson(const Status& status) {
  const std::string message = Message(status);
  return ErrorJson(HttpStatus(status), message, ParamOf(message));
}

HttpResponse ErrorResponse(const Status& status) {
  const std::string message = Message(status);
  HttpResponse response = ErrorResponse(HttpStatus(status), message, ParamOf(message));
  if (const std::optional<int> seconds = RetryAfter(status)) {
    for (auto& [name, value] : response.headers) {
      if (name == "Retry-After") value = std::to_string(*seconds);
    }
  }
  return response;
}

}  // namespace banyan::serve
