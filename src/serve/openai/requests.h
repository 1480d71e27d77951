// SPDX-License-Identifier: Apache-2.0
// The bodies of /v1/chat/completions and /v1/completions, checked: every field is done, has no
// effect, or is refused by name. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "engine/sessions.h"
#include "sched/sampling_params.h"
#include "serve/chat_prompt.h"

namespace banyan::serve {

struct OpenAiOptions {
  std::string model;  // as asked for; empty when not said
  bool stream = false;
  bool include_usage = false;     // a last chunk with the usage
  bool continuous_usage = false;  // the usage so far in every chunk
  SamplingParams sampling;
  bool logprobs = false;
  int top_logprobs = 0;
  std::optional<int> priority;
  std::string user;
  std::optional<int> dp_rank;
  bool cache_details = false;  // what of the prompt was found in the cache, and why not more
  std::optional<SessionParams> session;
  std::vector<std::string> rids;  // none, one for all prompts, or one per prompt
  std::vector<std::string> extra_keys;
};

struct ChatRequest {
  OpenAiOptions options;
  ChatInput chat;
};

struct CompletionRequest {
  OpenAiOptions options;
  std::vector<std::variant<std::string, std::vector<text::TokenId>>> prompts;
  bool echo = false;
};

// What a request that does not say otherwise gets.
struct OpenAiDefaults {
  SamplingParams sampling;
  bool include_usage = false;
};

StatusOr<ChatRequest> ParseChatRequest(const json::object& body, const OpenAiDefaults& defaults);
StatusOr<CompletionRequest> ParseCompletionRequest(const json::object& body,
                                                   const OpenAiDefaults& defaults);

}  // namespace banyan::serve
