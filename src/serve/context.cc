// SPDX-License-Identifier: Apache-2.0
#include "serve/context.h"

#include <algorithm>
#include <charconv>
#include <random>

#include "serve/errors.h"
#include "serve/request_fields.h"

namespace banyan::serve {
namespace {

std::string NameOf(const EngineConfig& config) {
  return config.served_model_name.empty() ? config.model_path : config.served_model_name;
}

bool HasStates(const nn::ModelInfo& model) {
  return std::any_of(model.cache_groups.begin(), model.cache_groups.end(),
                     [](const auto& group) { return group.type == CacheKindType::kState; });
}

}  // namespace

ServeContext::ServeContext(Engine& engine, const ServeConfig& config, const RequestLog* log)
    : engine(engine),
      config(config),
      model_name(NameOf(engine.config())),
      created(UnixTime()),
      renderer(engine.tokenizer(), engine.chat_template(), HasStates(engine.model())),
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
  std::string_view text = request.body;
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";  // editors on Windows begin files so
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  auto body = ParseJsonObject(text, "request");
  if (body.ok()) return *std::move(body);
  reply->Send(ErrorResponse(body.status()));
  return std::nullopt;
}

StatusOr<Routing> ReadRouting(const HttpRequest& request, std::string_view own_key,
                              std::optional<int> own_rank) {
  Routing routing{std::string(own_key), own_rank};
  if (own_key.empty()) routing.key = request.Header("x-smg-routing-key");
  if (routing.key.size() > kMaxKeyBytes)
    return InvalidArgument("request: 'x-smg-routing-key' is longer than {} bytes", kMaxKeyBytes);
  if (const std::string_view rank = request.Header("x-data-parallel-rank"); !rank.empty()) {
    const char* end = rank.data() + rank.size();
    const auto [read, error] = std::from_chars(rank.data(), end, routing.dp_rank.emplace());
    if (error != std::errc() || read != end)
      return InvalidArgument("request: 'x-data-parallel-rank' is not a rank");
  }
  return routing;
}

void SendJson(const ReplyPtr& reply, std::string body) {
  HttpResponse response;
  response.body = std::move(body);
  reply->Send(std::move(response));
}

}  // namespace banyan::serve
