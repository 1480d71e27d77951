// SPDX-License-Identifier: Apache-2.0
// A small blocking HTTP client, for the terminal chat: one request per connection, http:// only.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace banyan::serve {

struct ClientRequest {
  std::string url;   // "http://host:port/path"
  std::string body;  // sent as JSON; empty: a GET
  std::string api_key;
};

// Calls `on_body` with parts of the body of a reply of status 200 as they come, until it returns
// false. A body that breaks off is kUnavailable, when what came has been told. Any other status is
// a failure that holds the body's message; of 429 it is kResourceExhausted and has the reply's
// Retry-After (base/retry_after.h).
Status Fetch(const ClientRequest& request, const std::function<bool(std::string_view)>& on_body);

// Splits server-sent events out of what Fetch brings: calls `on_data` with each event's data.
class EventParser {
 public:
  explicit EventParser(std::function<void(std::string_view)> on_data)
      : on_data_(std::move(on_data)) {}
  void Push(std::string_view bytes);

 private:
  std::function<void(std::string_view)> on_data_;
  std::string line_;
};

}  // namespace banyan::serve
