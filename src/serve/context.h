// SPDX-License-Identifier: Apache-2.0
// What the handlers of one server share once its engine is there. Immutable, thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/engine.h"
#include "serve/chat_prompt.h"
#include "serve/generation.h"
#include "serve/openai/requests.h"
#include "serve/server.h"

namespace banyan::serve {

struct ServeContext {
  ServeContext(Engine& engine, const ServeConfig& config, const RequestLog* log);

  Engine& engine;
  const ServeConfig& config;
  const std::string model_name;
  const int64_t created;  // seconds since the epoch
  const ChatRenderer renderer;
  const OpenAiDefaults openai_defaults;
  SamplingParams native_defaults;
  const RequestLog* const log;  // null without --log-requests

  // Text to ids with the tokenizer's own special tokens; an error that says what is missing.
  StatusOr<std::vector<text::TokenId>> Encode(std::string_view text, bool add_special) const;
};

// A name for a request that brings none: `prefix` and 32 hex digits.
std::string NewId(std::string_view prefix);
int64_t UnixTime();

// The parsed body, or nothing after an error has been sent.
std::optional<json::object> ReadBody(const HttpRequest& request, const ReplyPtr& reply);

// What a request is routed by: its own words and the headers that SGLang's router sends, which are
// checked. As in SGLang, of two keys its own counts, and of two ranks the header's; but not for a
// request of a session, which is on a rank that a router does not know.
struct Routing {
  std::string key;
  std::optional<int> dp_rank;
};
StatusOr<Routing> ReadRouting(const HttpRequest& request, std::string_view own_key,
                              std::optional<int> own_rank);

// Sends a JSON text.
void SendJson(const ReplyPtr& reply, std::string body);

}  // namespace banyan::serve
