// SPDX-License-Identifier: Apache-2.0
#include "serve/context.h"

#include <random>

#include "serve/errors.h"

namespace banyan::serve {
namespace {

std::string NameOf(const EngineConfig& config) {
  return config.served_model_name.empty() ? config.model_path : config.served_model_name;
}

}  // namespace

ServeContext::ServeContext(Engine& engine, const ServeConfig& config, const RequestLog* log)
    : engine(engine),
      config(config),
      model_name(NameOf(engine.config())),
      created(UnixTime()),
      renderer(engine.tokenizer(), engine.chat_template()),
      openai_defaults{engine.default_sampling(), config.stream_include_usage},
      log(log) {}

StatusOr<std::vector<text::TokenId>> ServeContext::Encode(std::string_view text,
                                                          bool add_special) const {
  if (engine.tokenizer() == nullptr)
    return InvalidArgument("the server runs with --skip-tokenizer-init: only token ids are read");
  return engine.tokenizer()->Encode(text, add_special);
}

std::string NewId(std::string_view prefix) {
  static thread_local std::mt19937_64 generator{(uint64_t{std::random_device{}()} << 32) ^
                                                std::random_device{}()};
  return fmt::format("{}{:016x}{:016x}", prefix, generator(), generator());
}

int64_t UnixTime() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::optional<json::object> ReadBody(const HttpRequest& request, const ReplyPtr& reply) {
  auto body = ParseJsonObject(request.body, "request");
  if (body.ok()) return *std::move(body);
  reply->Send(ErrorResponse(body.status()));
  return std::nullopt;
}

void SendJson(const ReplyPtr& reply, std::string body) {
  HttpResponse response;
  response.body = std::move(body);
  reply->Send(std::move(response));
}

}  // namespace banyan::serve
