// SPDX-License-Identifier: Apache-2.0
#include "serve/openai/handlers.h"

#include <algorithm>

#include "serve/errors.h"
#include "serve/json_writer.h"
#include "serve/openai/formats.h"

namespace banyan::serve {
namespace {

// "base:adapter" asks for an adapter; any other name is answered by the one model there is, whose
// name the reply carries.
Status CheckModel(const ServeContext& context, std::string_view model) {
  const std::string& served = context.model_name;
  if (model.size() > served.size() && model.starts_with(served) && model[served.size()] == ':')
    return InvalidArgument("request: 'model' names an adapter, and adapters are not built yet");
  return OkStatus();
}

OpenAiReplyInfo MakeInfo(const ServeContext& context, const OpenAiOptions& options,
                         std::string_view prefix) {
  OpenAiReplyInfo info;
  const bool named = !options.rids.empty() && !options.rids[0].empty();
  info.id = named ? options.rids[0] : NewId(prefix);
  info.model = context.model_name;
  info.weight_version = context.config.weight_version;
  info.created = UnixTime();
  info.include_usage = options.include_usage;
  info.continuous_usage = options.continuous_usage;
  info.cache_details = options.cache_details;
  info.cache_report = context.engine.config().enable_cache_report;
  info.logprobs = options.logprobs;
  info.top_logprobs = options.top_logprobs;
  info.n = options.sampling.n;
  info.skip_special_tokens = options.sampling.skip_special_tokens;
  info.tokenizer = context.engine.tokenizer();
  return info;
}

GenerateRequest MakeRequest(const Routing& routing, const OpenAiOptions& options,
                            const OpenAiReplyInfo& info, std::size_t prompt, std::size_t prompts) {
  auto pick = [prompt](const std::vector<std::string>& list) {
    return list.empty() ? std::string() : list[list.size() == 1 ? 0 : prompt];
  };
  GenerateRequest request;
  request.rid = options.rids.size() > 1 ? options.rids[prompt] : info.id;
  if (prompts > 1 && options.rids.size() <= 1) request.rid += fmt::format("_{}", prompt);
  request.sampling = options.sampling;
  request.logprobs.enabled = options.logprobs;
  request.logprobs.top_n = options.top_logprobs;
  request.priority = options.priority;
  request.routing_key = routing.key;
  request.user = options.user;
  request.dp_rank = options.session ? options.dp_rank : routing.dp_rank;
  request.session = options.session;
  request.extra_key = pick(options.extra_keys);
  return request;
}

// The engine would refuse these too, but under its own names.
Status CheckIds(const ServeContext& context, const std::vector<text::TokenId>& ids) {
  if (ids.empty()) return InvalidArgument("request: 'prompt' is empty");
  const int vocab_size = context.engine.model().vocab_size;
  for (const text::TokenId id : ids) {
    if (id >= vocab_size)
      return InvalidArgument("request: 'prompt' holds token id {}, and the last one is {}", id,
                             vocab_size - 1);
  }
  return OkStatus();
}

void WriteModel(JsonWriter& json, const ServeContext& context) {
  json.Begin('{').Field("id", context.model_name).Field("object", "model");
  json.Field("created", context.created).Field("owned_by", "banyan");
  json.Field("root", context.model_name).Key("parent").Null();
  json.Field("max_model_len", context.engine.max_request_length()).End('}');
}

}  // namespace

void HandleModels(const ServeContext& context, const HttpRequest&, const ReplyPtr& reply) {
  std::string out;
  JsonWriter json(out);
  json.Begin('{').Field("object", "list").Key("data").Begin('[');
  WriteModel(json, context);
  json.End(']').End('}');
  SendJson(reply, std::move(out));
}

void HandleModel(const ServeContext& context, const HttpRequest& request, const ReplyPtr& reply) {
  // A served name may end in '/', as a folder's does; with one and without, it is the same.
  const auto trimmed = [](std::string_view name) {
    if (name.ends_with('/')) name.remove_suffix(1);
    return name;
  };
  if (trimmed(request.path_tail) != trimmed(context.model_name)) {
    return reply->Send(
        ErrorResponse(404, fmt::format("The model '{}' does not exist", request.path_tail), "model",
                      "model_not_found"));
  }
  std::string out;
  JsonWriter json(out);
  WriteModel(json, context);
  SendJson(reply, std::move(out));
}

void HandleChat(const ServeContext& context, const HttpRequest& request, const ReplyPtr& reply) {
  const auto body = ReadBody(request, reply);
  if (!body) return;
  auto parsed = ParseChatRequest(*body, context.openai_defaults);
  if (!parsed.ok()) return reply->Send(ErrorResponse(parsed.status()));
  const OpenAiOptions& options = parsed->options;
  if (Status status = CheckModel(context, options.model); !status.ok())
    return reply->Send(ErrorResponse(status));
  if (!parsed->chat.tools.empty()) {
    return reply->Send(ErrorResponse(
        InvalidArgument("request: 'tools' is not supported: tool calls in the model's output "
                        "cannot be parsed yet, so none could be returned")));
  }
  const auto routing = ReadRouting(request, {}, options.dp_rank);
  if (!routing.ok()) return reply->Send(ErrorResponse(routing.status()));
  auto prompt = context.renderer.Render(parsed->chat);
  if (!prompt.ok()) return reply->Send(ErrorResponse(prompt.status()));

  OpenAiReplyInfo info = MakeInfo(context, options, "chatcmpl-");
  std::vector<GenerateRequest> requests;
  requests.push_back(MakeRequest(*routing, options, info, 0, 1));
  requests[0].input_ids = std::move(prompt->ids);
  requests[0].checkpoints = std::move(prompt->message_ends);
  Generation::Start(context.engine, std::move(requests), MakeChatFormat(std::move(info)),
                    options.stream, reply, context.log);
}

void HandleCompletions(const ServeContext& context, const HttpRequest& request,
                       const ReplyPtr& reply) {
  const auto body = ReadBody(request, reply);
  if (!body) return;
  auto parsed = ParseCompletionRequest(*body, context.openai_defaults);
  if (!parsed.ok()) return reply->Send(ErrorResponse(parsed.status()));
  const OpenAiOptions& options = parsed->options;
  if (Status status = CheckModel(context, options.model); !status.ok())
    return reply->Send(ErrorResponse(status));

  const auto routing = ReadRouting(request, {}, options.dp_rank);
  if (!routing.ok()) return reply->Send(ErrorResponse(routing.status()));
  OpenAiReplyInfo info = MakeInfo(context, options, "cmpl-");
  std::vector<GenerateRequest> requests;
  std::vector<std::string> echo;
  std::vector<std::vector<TokenId>> prompt_ends;
  for (std::size_t i = 0; i < parsed->prompts.size(); ++i) {
    GenerateRequest& one =
        requests.emplace_back(MakeRequest(*routing, options, info, i, parsed->prompts.size()));
    if (auto* text = std::get_if<std::string>(&parsed->prompts[i])) {
      auto ids = context.Encode(*text, true);
      if (!ids.ok()) return reply->Send(ErrorResponse(ids.status()));
      one.input_ids = *std::move(ids);
      if (parsed->echo) echo.push_back(std::move(*text));
      if (Status status = CheckIds(context, one.input_ids); !status.ok())
        return reply->Send(ErrorResponse(status));
    } else {
      one.input_ids = std::get<1>(std::move(parsed->prompts[i]));
      if (Status status = CheckIds(context, one.input_ids); !status.ok())
        return reply->Send(ErrorResponse(status));
      if (parsed->echo) {
        if (context.engine.tokenizer() == nullptr)
          return reply->Send(ErrorResponse(400, "'echo' needs a tokenizer", "echo"));
        auto text =
            context.engine.tokenizer()->Decode(one.input_ids, options.sampling.skip_special_tokens);
        if (!text.ok()) return reply->Send(ErrorResponse(text.status()));
        echo.push_back(*std::move(text));
      }
    }
    if (parsed->echo && options.logprobs) one.logprobs.prompt_start = 0;
    const auto& ids = one.input_ids;
    const auto shown = static_cast<std::ptrdiff_t>(std::min(ids.size(), kDetokenizerContext));
    prompt_ends.emplace_back(ids.end() - shown, ids.end());
  }
  Generation::Start(context.engine, std::move(requests),
                    MakeCompletionFormat(std::move(info), std::move(echo), std::move(prompt_ends)),
                    options.stream, reply, context.log);
}

}  // namespace banyan::serve
