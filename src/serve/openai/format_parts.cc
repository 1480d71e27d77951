// SPDX-License-Identifier: Apache-2.0
#include "serve/openai/format_parts.h"

namespace banyan::serve {
namespace {

void WriteUsage(JsonWriter& json, int64_t prompt, int64_t completion, int64_t cached) {
  json.Begin('{').Field("prompt_tokens", prompt).Field("total_tokens", prompt + completion);
  json.Field("completion_tokens", completion);
  json.Key("prompt_tokens_details").Begin('{').Field("cached_tokens", cached).End('}');
  json.Field("reasoning_tokens", 0).End('}');  // reasoning is part of the content
}

}  // namespace

std::string_view FinishName(const FinishReason& finish) {
  switch (finish.kind) {
    case FinishReason::Kind::kStop:
      return "stop";
    case FinishReason::Kind::kLength:
      return "length";
    case FinishReason::Kind::kAbort:
      break;
  }
  return "abort";
}

void WriteMatchedStop(JsonWriter& json, const FinishReason& finish) {
  json.Key("matched_stop");
  if (finish.kind != FinishReason::Kind::kStop) {
    json.Null();
  } else if (!finish.stop_string.empty()) {
    json.Value(finish.stop_string);
  } else if (finish.stop_token >= 0) {
    json.Value(finish.stop_token);
  } else {
    json.Null();
  }
}

void WriteUsage(JsonWriter& json, const std::vector<Choice>& choices, int n) {
  int64_t prompt = 0, completion = 0, cached = 0;
  for (const Choice& choice : choices) {
    completion += choice.completion_tokens;
    if (choice.index % n != 0) continue;
    prompt += choice.prompt_tokens;
    cached += choice.cached_tokens;
  }
  WriteUsage(json, prompt, completion, cached);
}

void WriteUsage(JsonWriter& json, const Choice& choice) {
  WriteUsage(json, choice.prompt_tokens, choice.completion_tokens, choice.cached_tokens);
}

void WriteCacheDetails(JsonWriter& json, const Choice& choice, bool with_reason) {
  json.Key("cached_tokens_details").Begin('{').Field("device", choice.cached_tokens);
  json.Field("host", 0);
  if (with_reason) {
    json.Key("miss_reason");
    choice.cache_miss == CacheMiss::kNone ? json.Null() : json.Value(Name(choice.cache_miss));
  }
  json.End('}');
}

void WriteExtension(JsonWriter& json, const OpenAiReplyInfo& info,
                    const std::vector<Choice>& choices) {
  if (!info.cache_details && !info.cache_report) return;
  json.Key("sglext").Begin('{');
  WriteCacheDetails(json, choices.front(), info.cache_report);
  json.End('}');
}

void BeginReply(JsonWriter& json, const OpenAiReplyInfo& info, std::string_view object) {
  json.Begin('{').Field("id", info.id).Field("object", object);
  json.Field("created", info.created).Field("model", info.model);
}

EventFrame::EventFrame(const OpenAiReplyInfo& info, std::string_view object, int index,
                       std::string_view before_text, std::string_view after_text)
    : before("data: ") {
  JsonWriter json(before);
  BeginReply(json, info, object);
  json.Key("choices").Begin('[').Begin('{').Field("index", index);
  before += ',';
  before += before_text;
  after = after_text;
  after += "}]";
}

void EventFrame::Append(std::string& out, std::string_view text) const {
  out += before;
  AppendJsonEscaped(out, text);
  out += after;
}

}  // namespace banyan::serve
