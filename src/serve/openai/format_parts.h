// SPDX-License-Identifier: Apache-2.0
// What the two OpenAI formats share.
#pragma once

#include <string>
#include <string_view>

#include "serve/json_writer.h"
#include "serve/openai/formats.h"

namespace banyan::serve {

std::string_view FinishName(const FinishReason& finish);  // stop, length, abort
// "matched_stop": the stop string, the token's id, or null.
void WriteMatchedStop(JsonWriter& json, const FinishReason& finish);

// {"prompt_tokens", ...}, prompts counted once each however many samples they have.
void WriteUsage(JsonWriter& json, const std::vector<Choice>& choices, int n);
void WriteUsage(JsonWriter& json, const Choice& choice);

// "cached_tokens_details": SGLang's counts by tier, of which there is one, and `with_reason`
// "miss_reason": why not more was found, null when all that could be shared was. The reason tells
// what others have sent under another key, so that the operator must have asked for it.
void WriteCacheDetails(JsonWriter& json, const Choice& choice, bool with_reason);
// SGLang's extension of a reply with these details in it, where they are wanted.
void WriteExtension(JsonWriter& json, const OpenAiReplyInfo& info,
                    const std::vector<Choice>& choices);

// Opens `{"id", "object", "created", "model"`, without closing the object.
void BeginReply(JsonWriter& json, const OpenAiReplyInfo& info, std::string_view object);

// The start and the end of a stream event whose one choice holds `before`, a text and `after`:
// built once, so that an event is three appends.
struct EventFrame {
  std::string before, after;
  EventFrame() = default;
  EventFrame(const OpenAiReplyInfo& info, std::string_view object, int index,
             std::string_view before_text, std::string_view after_text);
  void Append(std::string& out, std::string_view text) const;
};

}  // namespace banyan::serve
