// SPDX-License-Identifier: Apache-2.0
#include "serve/native/handlers.h"

#include "serve/errors.h"
#include "serve/json_writer.h"
#include "serve/native/generate_format.h"
#include "serve/native/generate_request.h"
#include "serve/request_fields.h"

namespace banyan::serve {
namespace {

// Of /tokenize, with a prompt that is text.
constexpr std::string_view kNoMessages = "it is for 'messages'";
constexpr RefusedField kOfMessages[] = {
    {"tools", kNoMessages, "[]"},
    {"tool_choice", kNoMessages, R"("none"|"auto")"},
    {"reasoning_effort", kNoMessages, ""},
    {"continue_final_message", kNoMessages, "false"},
    {"chat_template_kwargs", kNoMessages, "{}"},
};

void WriteIds(JsonWriter& json, const std::vector<text::TokenId>& ids) {
  json.Begin('[');
  for (text::TokenId id : ids) json.Value(id);
  json.End(']');
}

}  // namespace

void HandleGenerate(const ServeContext& context, const HttpRequest& request,
                    const ReplyPtr& reply) {
  const auto object = ReadBody(request, reply);
  if (!object) return;
  auto body = ParseGenerateBody(*object, context.native_defaults);
  if (!body.ok()) return reply->Send(ErrorResponse(body.status()));

  const auto routing = ReadRouting(request, body->routing_key, body->dp_rank);
  if (!routing.ok()) return reply->Send(ErrorResponse(routing.status()));

  GenerateReplyInfo info;
  info.batch = body->batch;
  info.incremental = context.config.incremental_streaming;
  info.text_in_logprobs = body->text_in_logprobs;
  info.cache_report = context.engine.config().enable_cache_report;
  info.weight_version = context.config.weight_version;
  info.tokenizer = context.engine.tokenizer();
  std::vector<GenerateRequest> requests;
  for (GenerateItem& item : body->items) {
    GenerateRequest& one = requests.emplace_back();
    if (item.text) {
      auto ids = context.Encode(*item.text, true);
      if (!ids.ok()) return reply->Send(ErrorResponse(ids.status()));
      one.input_ids = *std::move(ids);
    } else {
      one.input_ids = std::move(item.input_ids);
    }
    if (one.input_ids.empty()) {
      return reply->Send(ErrorResponse(
          InvalidArgument("request: '{}' is empty", item.text ? "text" : "input_ids")));
    }
    info.per_prompt.push_back(item.logprobs);
    one.rid = item.rid.empty() ? NewId("") : std::move(item.rid);
    one.sampling = std::move(item.sampling);
    one.length_given = item.length_given;
    one.logprobs = std::move(item.logprobs);
    one.priority = body->priority;
    one.routing_key = routing->key;
    one.dp_rank = item.session ? body->dp_rank : routing->dp_rank;
    one.session = std::move(item.session);
    one.extra_key = std::move(item.extra_key);
    one.log_metrics = body->log_metrics;
    one.want_text = info.tokenizer != nullptr;
  }
  Generation::Start(context.engine, std::move(requests), MakeGenerateFormat(std::move(info)),
                    body->stream, reply, body->log ? context.log : nullptr);
}

void HandleTokenize(const ServeContext& context, const HttpRequest& request,
                    const ReplyPtr& reply) {
  const auto body = ReadBody(request, reply);
  if (!body) return;
  Fields fields(*body, "request");
  fields.Maybe<std::string>("model");
  const bool add_special = fields.Optional<bool>("add_special_tokens", true);
  const json::value* prompt = fields.Raw("prompt");
  ChatInput chat;
  if (fields.Has("messages")) {
    if (prompt != nullptr) fields.Fail("messages", "and 'prompt' exclude each other");
    ReadChatInput(fields, chat);
    ReadTools(fields, chat);
  } else if (prompt == nullptr) {
    fields.Fail("prompt", "or 'messages' must be given");
  }
  if (prompt != nullptr) RefuseFields(fields, kOfMessages);
  if (Status status = FinishFields(fields); !status.ok()) return reply->Send(ErrorResponse(status));

  std::vector<std::vector<text::TokenId>> lists;
  if (prompt == nullptr) {
    auto rendered = context.renderer.Render(chat);
    if (!rendered.ok()) return reply->Send(ErrorResponse(rendered.status()));
    lists.push_back(std::move(rendered->ids));
  } else {
    const std::vector<std::string> texts = ReadStrings(fields, "prompt");
    if (!fields.status().ok()) return reply->Send(ErrorResponse(fields.status()));
    for (const std::string& text : texts) {
      auto ids = context.Encode(text, add_special);
      if (!ids.ok()) return reply->Send(ErrorResponse(ids.status()));
      lists.push_back(*std::move(ids));
    }
  }
  const bool many = prompt != nullptr && prompt->is_array();
  std::string out;
  JsonWriter json(out);
  json.Begin('{').Key("tokens");
  if (many) json.Begin('[');
  for (const auto& ids : lists) WriteIds(json, ids);
  if (many) json.End(']');
  json.Key("count");
  if (many) json.Begin('[');
  for (const auto& ids : lists) json.Value(ids.size());
  if (many) json.End(']');
  json.Field("max_model_len", context.engine.max_request_length()).End('}');
  SendJson(reply, std::move(out));
}

void HandleDetokenize(const ServeContext& context, const HttpRequest& request,
                      const ReplyPtr& reply) {
  const auto body = ReadBody(request, reply);
  if (!body) return;
  if (context.engine.tokenizer() == nullptr)
    return reply->Send(ErrorResponse(400, "the server runs with --skip-tokenizer-init"));
  Fields fields(*body, "request");
  fields.Maybe<std::string>("model");
  const bool skip_special = fields.Optional<bool>("skip_special_tokens", true);
  const json::value* tokens = fields.Raw("tokens");
  const bool is_list = tokens != nullptr && tokens->is_array();
  const bool many = is_list && !tokens->get_array().empty() && tokens->get_array()[0].is_array();
  std::vector<std::vector<int>> lists;
  if (!is_list) {
    fields.Fail("tokens", tokens == nullptr ? "is missing" : "is not a list");
  } else if (many) {
    for (const json::value& list : tokens->get_array()) {
      json::object one{{"tokens", list}};
      Fields inner(one, "request");
      lists.push_back(inner.Required<std::vector<int>>("tokens", {0, 2147483647}));
      if (!inner.status().ok()) fields.Fail("tokens", "is neither a list of ids nor of such lists");
    }
  } else {
    lists.push_back(fields.Required<std::vector<int>>("tokens", {0, 2147483647}));
  }
  if (Status status = FinishFields(fields); !status.ok()) return reply->Send(ErrorResponse(status));

  std::string out;
  JsonWriter json(out);
  json.Begin('{').Key("text");
  if (many) json.Begin('[');
  for (const std::vector<int>& ids : lists) {
    auto text = context.engine.tokenizer()->Decode(ids, skip_special);
    if (!text.ok()) return reply->Send(ErrorResponse(text.status()));
    json.Value(*text);
  }
  if (many) json.End(']');
  json.End('}');
  SendJson(reply, std::move(out));
}

void HandleRender(const ServeContext& context, const HttpRequest& request, const ReplyPtr& reply) {
  const auto body = ReadBody(request, reply);
  if (!body) return;
  auto parsed = ParseChatRequest(*body, context.openai_defaults);
  if (!parsed.ok()) return reply->Send(ErrorResponse(parsed.status()));
  auto prompt = context.renderer.Render(parsed->chat);
  if (!prompt.ok()) return reply->Send(ErrorResponse(prompt.status()));
  std::string out;
  JsonWriter json(out);
  json.Begin('{').Field("text", prompt->text).Key("input_ids");
  WriteIds(json, prompt->ids);
  json.Field("count", prompt->ids.size()).End('}');
  SendJson(reply, std::move(out));
}

}  // namespace banyan::serve
