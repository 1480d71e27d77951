// SPDX-License-Identifier: Apache-2.0
// Bytes from the network to a checked request: the first byte picks the path, the rest is the body.
#include <cstdint>

#include "serve/chat_prompt.h"
#include "serve/errors.h"
#include "serve/http.h"
#include "serve/native/generate_request.h"
#include "serve/openai/requests.h"

namespace {

// Errors must be printable whatever they quote.
void Touch(const banyan::Status& status) {
  if (!status.ok()) (void)banyan::serve::ErrorJson(status);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  using namespace banyan;
  using namespace banyan::serve;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 5 == 3) {
    (void)PercentDecode(text, true);
    HttpRequest request;
    request.query = text;
    (void)request.QueryValue("rid");
    return 0;
  }
  if (data[0] % 5 == 4) {
    (void)TemplateWantsParts(text);
    return 0;
  }
  const auto body = ParseJsonObject(text, "request");
  if (!body.ok()) {
    Touch(body.status());
    return 0;
  }
  switch (data[0] % 5) {
    case 0:
      Touch(ParseChatRequest(*body, {}).status());
      break;
    case 1:
      Touch(ParseCompletionRequest(*body, {}).status());
      break;
    case 2:
      Touch(ParseGenerateBody(*body, {}).status());
      break;
  }
  return 0;
}
