// SPDX-License-Identifier: Apache-2.0
#include "serve/server.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <string>

#include "absl/strings/match.h"
#include "base/check.h"
#include "base/log.h"
#include "serve/admin/handlers.h"
#include "serve/auth.h"
#include "serve/context.h"
#include "serve/errors.h"
#include "serve/json_writer.h"
#include "serve/native/generate_request.h"
#include "serve/native/handlers.h"
#include "serve/openai/handlers.h"
#include "serve/sglang_routes.h"

namespace banyan::serve {
namespace {

// The HTTP series of one route. Each is made when it is first needed: most routes are never asked.
struct RouteMetrics {
  std::atomic<Counter*> requests{nullptr};
  std::atomic<Gauge*> active{nullptr};
  std::array<std::atomic<Counter*>, 600> responses{};  // by status
};

template <typename Series, typename Make>
Series& Once(std::atomic<Series*>& slot, const Make& make) {
  Series* series = slot.load(std::memory_order_acquire);
  if (series == nullptr) {
    series = &make();  // the registry gives every caller the same one
    slot.store(series, std::memory_order_release);
  }
  return *series;
}

class ServerImpl final : public Server {
 public:
  explicit ServerImpl(ServeConfig config)
      : config_(std::move(config)),
        auth_(config_.api_key, config_.admin_api_key, config_.open_paths),
        router_(std::make_shared<Router>()) {}

  ~ServerImpl() override { http_.reset(); }

  Status Open() {
    SamplingParams checked;
    BANYAN_RETURN_IF_ERROR(ParseSamplingParams(config_.preferred_sampling_params,
                                               "--preferred-sampling-params", checked));
    BANYAN_ASSIGN_OR_RETURN(log_, RequestLog::Open(config_.log_requests));
    AddRoutes();
    for (const std::string& path : config_.open_paths) {
      const bool known = std::any_of(router_->routes().begin(), router_->routes().end(),
                                     [&](const auto& route) { return route->pattern == path; });
      if (!known) return InvalidArgument("--open-paths: there is no path '{}'", path);
    }
    HttpHooks hooks;
    hooks.admit = [this](const HttpRequest& request) { return Admit(request); };
    hooks.began = [this](const HttpRequest& request) { Began(request); };
    hooks.ended = [this](const HttpAccess& access) { Ended(access); };
    BANYAN_ASSIGN_OR_RETURN(http_, HttpServer::Start(config_.http, router_, std::move(hooks)));
    return OkStatus();
  }

  void Serve(Engine& engine) override {
    BANYAN_CHECK(context_owner_ == nullptr);
    auto context = std::make_unique<ServeContext>(engine, config_, log_.get());
    // Checked by Open.
    (void)ParseSamplingParams(config_.preferred_sampling_params, "", context->native_defaults);
    for (const auto& route : router_->routes()) series_[route.get()];
    KeysActive(*context).Set(0);
    served_since_ = std::chrono::steady_clock::now();
    context_owner_ = std::move(context);
    context_.store(context_owner_.get(), std::memory_order_release);
  }

  int port() const override { return http_->port(); }
  void BeginDrain() override { draining_ = true; }
  void Shutdown(std::chrono::milliseconds grace) override { http_->Shutdown(grace); }
  const Router& router() const override { return *router_; }

 private:
  using ContextHandler = void (*)(const ServeContext&, const HttpRequest&, const ReplyPtr&);

  std::optional<HttpResponse> Admit(const HttpRequest& request) const {
    if (auto refused = auth_.Check(request)) return refused;
    const std::string_view coding = request.Header("Content-Encoding");
    if (coding.empty() || absl::EqualsIgnoreCase({coding.data(), coding.size()}, "identity"))
      return std::nullopt;
    return ErrorResponse(415, fmt::format("Content-Encoding '{}' is not supported: bodies are "
                                          "read as they are",
                                          coding));
  }

  // A route that needs the engine.
  void Add(std::string_view methods, std::string_view path, ContextHandler handler,
           Access access = Access::kNormal, bool heavy = false) {
    router_->Add(methods, path, access, heavy,
                 [this, handler](const HttpRequest& request, const ReplyPtr& reply) {
                   const ServeContext* context = context_.load(std::memory_order_acquire);
                   if (context == nullptr)
                     return reply->Send(ErrorResponse(503, "the model is being loaded"));
                   handler(*context, request, reply);
                 });
  }

  void AddRoutes() {
    constexpr bool kHeavy = true;
    router_->Add("GET", "/health", Access::kOpen, false,
                 [this](const HttpRequest&, const ReplyPtr& reply) { Health(reply, false); });
    router_->Add("GET", "/health_generate", Access::kNormal, false,
                 [this](const HttpRequest&, const ReplyPtr& reply) { Health(reply, true); });
    router_->Add("GET", "/ready", Access::kNormal, false,
                 [this](const HttpRequest&, const ReplyPtr& reply) { Ready(reply); });

    Add("POST", "/v1/chat/completions", HandleChat, Access::kNormal, kHeavy);
    Add("POST", "/v1/completions", HandleCompletions, Access::kNormal, kHeavy);
    Add("GET", "/v1/models", HandleModels);
    Add("GET", "/v1/models/{model:path}", HandleModel);
    Add("POST|PUT", "/generate", HandleGenerate, Access::kNormal, kHeavy);
    for (const char* path : {"/tokenize", "/v1/tokenize"})
      Add("POST", path, HandleTokenize, Access::kNormal, kHeavy);
    for (const char* path : {"/detokenize", "/v1/detokenize"})
      Add("POST", path, HandleDetokenize, Access::kNormal, kHeavy);
    Add("POST", "/render", HandleRender, Access::kNormal, kHeavy);

    for (const char* path : {"/model_info", "/get_model_info"}) Add("GET", path, HandleModelInfo);
    for (const char* path : {"/server_info", "/get_server_info"})
      Add("GET", path, HandleServerInfo);
    for (const char* path : {"/weight_version", "/get_weight_version"})
      Add("GET", path, HandleWeightVersion);
    Add("GET", "/memory", HandleMemory);
    Add("GET", "/get_load", HandleGetLoad);
    Add("GET", "/v1/loads", HandleLoads);
    Add("GET", "/cache_blocks", HandleCacheBlocks, Access::kAdmin);
    Add("GET", "/metrics", HandleMetrics);
    Add("GET|POST", "/flush_cache", HandleFlushCache, Access::kAdmin);
    Add("POST", "/abort_request", HandleAbort, Access::kAdmin);
    Add("POST", "/pause_generation", HandlePause, Access::kAdmin);
    Add("POST", "/continue_generation", HandleContinue, Access::kAdmin);
    Add("GET|POST", "/open_session", HandleOpenSession);
    Add("GET|POST", "/close_session", HandleCloseSession);
    for (const UnservedRoute& unserved : UnservedRoutes()) {
      router_->Add(unserved.methods, unserved.path, Access::kNormal, false,
                   [unserved](const HttpRequest& request, const ReplyPtr& reply) {
                     reply->Send(ErrorResponse(501, fmt::format("{} is not supported: {}",
                                                                request.path, unserved.reason)));
                   });
    }
  }

  // Null after an answer that the server cannot serve now.
  const ServeContext* Healthy(const ReplyPtr& reply) {
    const ServeContext* context = context_.load(std::memory_order_acquire);
    if (context != nullptr && !draining_ && context->engine.Snapshot().healthy) return context;
    reply->Send(ErrorResponse(503, context == nullptr ? "the model is being loaded"
                                   : draining_        ? "the server is shutting down"
                                                      : "the engine has stopped answering"));
    return nullptr;
  }

  void Health(const ReplyPtr& reply, bool generate) {
    const ServeContext* context = Healthy(reply);
    if (context == nullptr) return;
    if (generate || context->engine.config().health_endpoint_generation)
      return HandleHealthGenerate(*context, reply);
    reply->Send({});
  }

  void Ready(const ReplyPtr& reply) {
    if (Healthy(reply) != nullptr) SendJson(reply, R"({"ready":true})");
  }

  void Began(const HttpRequest& request) {
    const ServeContext* context = context_.load(std::memory_order_acquire);
    if (context == nullptr) return;
    const auto found = series_.find(request.route);
    if (found == series_.end()) return;
    Once(found->second.requests, [&]() -> Counter& {
      return context->engine.metrics().GetCounter("sglang:http_requests_total", "HTTP requests.",
                                                  LabelsOf(*request.route));
    }).Add();
    Active(*context, *request.route, found->second).Add(1);
    CountKey(*context, request, 1);
  }

  static Labels LabelsOf(const Route& route) {
    return {{"endpoint", route.pattern}, {"method", route.method}};
  }

  static Gauge& Active(const ServeContext& context, const Route& route, RouteMetrics& series) {
    return Once(series.active, [&]() -> Gauge& {
      return context.engine.metrics().GetGauge("sglang:http_requests_active",
                                               "HTTP requests at work.", LabelsOf(route));
    });
  }

  // By the header alone, as SGLang counts: of the body nothing is known yet.
  void CountKey(const ServeContext& context, const HttpRequest& request, int by) {
    const std::string_view key = request.Header("X-SMG-Routing-Key");
    if (key.empty()) return;
    std::lock_guard lock(keys_mutex_);
    const auto at = keys_.try_emplace(std::string(key)).first;
    if ((at->second += by) == 0) keys_.erase(at);
    KeysActive(context).Set(static_cast<double>(keys_.size()));
  }

  static Gauge& KeysActive(const ServeContext& context) {
    return context.engine.metrics().GetGauge("sglang:routing_keys_active",
                                             "Routing keys of the HTTP requests at work.");
  }

  static Counter& Response(const ServeContext& context, RouteMetrics& series,
                           const HttpAccess& access) {
    const auto status = static_cast<std::size_t>(std::clamp(access.status, 0, 599));
    return Once(series.responses[status], [&]() -> Counter& {
      Labels labels = LabelsOf(*access.request.route);
      labels.emplace_back("status_code", std::to_string(access.status));
      return context.engine.metrics().GetCounter("sglang:http_responses_total", "HTTP responses.",
                                                 labels);
    });
  }

  void Ended(const HttpAccess& access) {
    const HttpRequest& request = access.request;
    const ServeContext* context = context_.load(std::memory_order_acquire);
    const auto found = context == nullptr ? series_.end() : series_.find(request.route);
    // One that began before the series were there is not in them.
    const bool counted = std::chrono::steady_clock::now() - access.duration >= served_since_;
    if (context != nullptr && found != series_.end() && counted) {
      Active(*context, *request.route, found->second).Add(-1);
      Response(*context, found->second, access).Add();
      CountKey(*context, request, -1);
    }
    if (!config_.log_access || request.method.empty()) return;
    for (const std::string& prefix : config_.log_access_exclude)
      if (request.path.starts_with(prefix)) return;
    const std::chrono::duration<double, std::milli> time = access.duration;
    std::string path;  // decoded, so it may hold anything
    AppendJsonEscaped(path, request.path);
    LogInfo("{} \"{} {}\" {} {:.1f} ms", request.remote, request.method, path, access.status,
            time.count());
  }

  const ServeConfig config_;
  const Auth auth_;
  std::unique_ptr<const RequestLog> log_;
  const std::shared_ptr<Router> router_;
  std::atomic<bool> draining_{false};
  std::map<const Route*, RouteMetrics> series_;  // these two are set before context_ is
  std::chrono::steady_clock::time_point served_since_;
  std::mutex keys_mutex_;
  std::map<std::string, int> keys_;  // routing keys of requests at work, how many have each
  std::unique_ptr<ServeContext> context_owner_;
  std::atomic<const ServeContext*> context_{nullptr};
  std::unique_ptr<HttpServer> http_;
};

}  // namespace

StatusOr<std::unique_ptr<Server>> Server::Start(ServeConfig config) {
  auto server = std::make_unique<ServerImpl>(std::move(config));
  BANYAN_RETURN_IF_ERROR(server->Open());
  return server;
}

}  // namespace banyan::serve
