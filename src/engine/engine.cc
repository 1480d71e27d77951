// SPDX-License-Identifier: Apache-2.0
#include "engine/engine.h"

#include <algorithm>
#include <random>
#include <utility>

#include "base/retry_after.h"
#include "engine/engine_impl.h"
#include "engine/kv_events.h"

namespace banyan {
namespace {

class EngineImpl final : public Engine {
 public:
  EngineImpl(EngineParts parts, std::unique_ptr<KvEventPublisher> kv_events,
             std::unique_ptr<EvictionTimer> evictions, std::unique_ptr<Scheduler> scheduler);
  ~EngineImpl() override;

  StatusOr<RequestId> Submit(GenerateRequest request, GenerateSink sink) override;
  void Abort(RequestId id) override;
  int AbortByRid(std::string_view rid_prefix, bool all) override;
  void FlushCache(int rank, std::function<void(Status)> done) override;
  void Pause(PauseMode mode, std::function<void(Status)> done) override;
  void Continue(std::function<void(Status)> done) override;
  StatusOr<std::string> OpenSession(const SessionSettings& settings) override;
  Status CloseSession(std::string_view id) override;
  void Drain(std::function<void()> done) override;
  void Stop() override;
  void InspectCache(int rank, std::function<void(StatusOr<CacheSnapshot>)> done) override;

  EngineSnapshot Snapshot() const override;
  const EngineConfig& config() const override { return parts_.config; }
  const nn::ModelInfo& model() const override { return parts_.model; }
  int64_t max_request_length() const override { return limits_.max_request_length; }
  const std::shared_ptr<const text::Tokenizer>& tokenizer() const override {
    return parts_.tokenizer;
  }
  const std::shared_ptr<const text::ChatTemplate>& chat_template() const override {
    return parts_.chat_template;
  }
  const json::object& generation_config() const override { return parts_.generation_config; }
  const SamplingParams& default_sampling() const override { return parts_.default_sampling; }
  Metrics& metrics() override { return metrics_.registry(); }

 private:
  // A request whose samples the scheduler has not all ended. Their ids follow each other.
  struct Live {
    std::string rid;
    int samples = 0;
    int left = 0;
  };

  OutputHooks Hooks();
  StatusOr<RequestId> SubmitTurn(GenerateRequest request, GenerateSink sink);
  StatusOr<RequestId> SubmitOne(GenerateRequest request, GenerateSink sink);
  void PostAborts(RequestId first, int samples);
  void Ended(RequestId sample);
  std::string NameOf(RequestId sample) const;

  EngineParts parts_;
  AdmissionLimits limits_;
  EngineMetrics metrics_;
  std::atomic<int> waiting_{0};
  std::atomic<uint64_t> seeds_drawn_{0};
  Sessions sessions_;
  const std::shared_ptr<LiveNames> live_names_;

  mutable std::mutex mutex_;
  RequestId next_id_ = 1;
  std::map<RequestId, Live> live_;  // by the id of sample 0
  bool draining_ = false;
  std::vector<std::function<void()>> drained_;

  // Told by the loop until it ends.
  std::unique_ptr<KvEventPublisher> kv_events_;
  std::unique_ptr<EvictionTimer> evictions_;
  // The loop ends before the output, which ends what is still open.
  std::unique_ptr<Output> output_;
  std::unique_ptr<EngineLoop> loop_;
};

AdmissionLimits Limits(const EngineParts& parts) {
  return {
      .vocab_size = parts.model.vocab_size,
      .context_length = parts.config.context_length,
      .max_request_length = std::min(parts.config.context_length, parts.config.max_total_tokens),
      .has_tokenizer = parts.tokenizer != nullptr,
      .end_ids = parts.end_ids,
      .waiting_timeout = parts.config.request_waiting_timeout,
      .running_timeout = parts.config.request_running_timeout,
      .priorities = parts.config.enable_priority_scheduling,
      .refuse_priorities = parts.config.abort_on_priority_when_disabled,
      .low_priority_first = parts.config.schedule_low_priority_values_first,
      .default_priority = parts.config.default_priority_value};
}

// Tokens that sessions may keep: as many as some caches full, and always a fair number.
int64_t SessionTokens(const EngineConfig& config) {
  return std::max<int64_t>(4 * config.max_total_tokens, 1 << 22);
}

// As SGLang's: ranks are told apart where there are several.
Labels RankLabels(const EngineParts& parts) {
  if (parts.config.dp_size == 1) return {};
  return {{"dp_rank", std::to_string(parts.dp_rank)}};
}

// Whether the scheduler refused it, or gave it up while it waited.
bool NeverBegan(const GenerateUpdate& update) {
  const Status& status = update.finish->status;
  return update.completion_tokens == 0 && !status.ok() && status.code() != StatusCode::kCancelled;
}

EngineImpl::EngineImpl(EngineParts parts, std::unique_ptr<KvEventPublisher> kv_events,
                       std::unique_ptr<EvictionTimer> evictions,
                       std::unique_ptr<Scheduler> scheduler)
    : parts_(std::move(parts)),
      limits_(Limits(parts_)),
      metrics_(parts_.metrics, RankLabels(parts_), parts_.model.cache_groups,
               parts_.config.metrics),
      sessions_(SessionTokens(parts_.config)),
      live_names_(parts_.live_names != nullptr ? parts_.live_names : std::make_shared<LiveNames>()),
      kv_events_(std::move(kv_events)),
      evictions_(std::move(evictions)) {
  metrics_.SetLimits(parts_.config.max_total_tokens, parts_.scheduler.page_size,
                     parts_.config.context_length, parts_.config.max_running_requests);
  metrics_.SetStartup(parts_.load_seconds, parts_.start_seconds);
  output_ =
      std::make_unique<Output>(parts_.tokenizer, parts_.config.stream_interval, &metrics_, Hooks());
  loop_ = std::make_unique<EngineLoop>(
      std::move(scheduler), std::move(parts_.runner), output_.get(), &metrics_,
      EngineLoopOptions{.max_inflight = parts_.scheduler.max_inflight,
                        .watchdog_timeout = parts_.config.watchdog_timeout,
                        .decode_log_interval = parts_.config.decode_log_interval,
                        .max_total_tokens = parts_.config.max_total_tokens,
                        .page_size = parts_.scheduler.page_size,
                        .dp_rank = parts_.dp_rank,
                        .kv_events = kv_events_.get(),
                        .name_of = [this](RequestId sample) { return NameOf(sample); }});
}

EngineImpl::~EngineImpl() {
  // The hooks of the output thread post to the loop, so it stays until that thread has ended; its
  // own threads end first.
  loop_->Shutdown();
  output_.reset();
  loop_.reset();
}

OutputHooks EngineImpl::Hooks() {
  return {.stop = [this](StopAt stop) { loop_->Post(std::move(stop)); },
          .abort = [this](RequestId id) { loop_->Post(AbortSample{id}); },
          .left_queue = [this](RequestId) { --waiting_; },
          .ended = [this](RequestId id) { Ended(id); }};
}

StatusOr<RequestId> EngineImpl::Submit(GenerateRequest request, GenerateSink sink) {
  if (request.dp_rank.value_or(0) != 0)
    return InvalidArgument("routed_dp_rank: {} is none of the 1 ranks", *request.dp_rank);
  return request.session ? SubmitTurn(std::move(request), std::move(sink))
                         : SubmitOne(std::move(request), std::move(sink));
}

// A request of a session: what was before is put in front of its prompt, and its output is kept.
StatusOr<RequestId> EngineImpl::SubmitTurn(GenerateRequest request, GenerateSink sink) {
  if (request.sampling.n != 1) {
    return InvalidArgument("session_params: a request of a session has one sample, not {}",
                           request.sampling.n);
  }
  const std::optional<TokenId> bos =
      parts_.tokenizer != nullptr ? parts_.tokenizer->bos_id() : std::nullopt;
  const SessionParams params = *request.session;
  const std::string rid = request.rid;
  const auto brought = static_cast<int32_t>(request.input_ids.size());
  const auto now = [] { return std::chrono::steady_clock::now(); };
  const auto accept = [&](std::vector<TokenId> prompt, const Sessions::Handle& turn) {
    // Where messages end was said of what it brings, which is the end of the whole.
    for (int32_t& end : request.checkpoints) end += static_cast<int32_t>(prompt.size()) - brought;
    request.input_ids = std::move(prompt);
    // Kept before it is told, so that whoever hears the end can go on from it.
    return SubmitOne(std::move(request),
                     [this, turn, now, sink = std::move(sink)](GenerateUpdate update) {
                       sessions_.Append(turn, update.tokens);
                       if (update.finish) sessions_.End(turn, NeverBegan(update), now());
                       sink(std::move(update));
                     });
  };
  BANYAN_ASSIGN_OR_RETURN(
      const Sessions::Begun begun,
      sessions_.Begin(params, rid, std::move(request.input_ids), bos, now(), accept));
  for (const RequestId replaced : begun.replaced) Abort(replaced);
  return begun.id;
}

StatusOr<RequestId> EngineImpl::SubmitOne(GenerateRequest request, GenerateSink sink) {
  const TimePoint now = std::chrono::steady_clock::now();
  // Neighbouring counters give unrelated seeds.
  std::seed_seq mixed{parts_.config.random_seed, parts_.config.random_seed >> 32,
                      seeds_drawn_.fetch_add(1)};
  uint32_t words[2];
  mixed.generate(std::begin(words), std::end(words));
  BANYAN_ASSIGN_OR_RETURN(Arrival arrival,
                          MakeArrival(request, limits_, uint64_t{words[0]} << 32 | words[1], now));

  const int n = request.sampling.n;
  if (!request.rid.empty()) {
    auto name = LiveNames::Take(live_names_, request.rid);
    if (name == nullptr)
      return InvalidArgument("rid: a request named '{}' is at work already", request.rid);
    // Free again before the last end is told: whoever hears of it may use the name anew.
    sink = [name = std::move(name), left = n,
            sink = std::move(sink)](GenerateUpdate update) mutable {
      if (update.finish && --left == 0) name.reset();
      sink(std::move(update));
    };
  }
  // The scheduler has the last word, with priorities the only one. But what it has not seen yet is
  // bounded too, by what it could take at most, and a refusal here costs nothing.
  const int64_t most = int64_t{parts_.config.max_queued_requests} * (limits_.priorities ? 2 : 1) +
                       parts_.scheduler.max_running;
  if (waiting_.fetch_add(n) + n > most) {
    waiting_ -= n;
    return WithRetryAfter(ResourceExhausted("The request queue is full ({} requests waiting).",
                                            parts_.config.max_queued_requests),
                          loop_->stats().queue_seconds);
  }
  Submission submission;
  const auto shared_sink = std::make_shared<const GenerateSink>(std::move(sink));
  std::vector<TokenId> context(
      request.input_ids.end() -
          static_cast<std::ptrdiff_t>(std::min(kDetokenizerContext, request.input_ids.size())),
      request.input_ids.end());
  for (int index = 0; index < n; ++index) {
    submission.arrivals.emplace_back(arrival).seed = SampleSeed(arrival.seed, index);
    submission.streams.push_back({.index = index,
                                  .sink = shared_sink,
                                  .sampling = request.sampling,
                                  .want_text = request.want_text,
                                  .stream = request.stream,
                                  .log_metrics = request.log_metrics,
                                  .prompt_tokens = static_cast<int>(arrival.prompt.size()),
                                  .context = context,
                                  .arrived = now});
  }
  // In one go: an abort that finds a request is posted behind it.
  std::unique_lock lock(mutex_);
  const RequestId first = next_id_;
  for (int index = 0; index < n; ++index)
    submission.arrivals[index].id = submission.streams[index].id = first + index;
  if (draining_ || !loop_->Post(std::move(submission))) {
    waiting_ -= n;
    return draining_ ? Unavailable("the server is shutting down")
                     : Unavailable("the engine has stopped");
  }
  next_id_ += n;
  live_.emplace(first, Live{std::move(request.rid), n, n});
  return first;
}

void EngineImpl::PostAborts(RequestId first, int samples) {
  for (int i = 0; i < samples; ++i) loop_->Post(AbortSample{first + i});
}

void EngineImpl::Abort(RequestId id) {
  std::unique_lock lock(mutex_);
  const auto found = live_.find(id);
  if (found != live_.end()) PostAborts(id, found->second.samples);
}

int EngineImpl::AbortByRid(std::string_view rid_prefix, bool all) {
  std::unique_lock lock(mutex_);
  int count = 0;
  for (const auto& [id, live] : live_) {
    if (!all && !std::string_view(live.rid).starts_with(rid_prefix)) continue;
    PostAborts(id, live.samples);
    ++count;
  }
  return count;
}

void EngineImpl::FlushCache(int /*rank*/, std::function<void(Status)> done) {
  if (!loop_->Post(FlushCacheRequest{done})) done(Unavailable("the engine has stopped"));
}

void EngineImpl::Pause(PauseMode mode, std::function<void(Status)> done) {
  Status refusal = Unavailable("generation cannot be paused: the server is shutting down");
  {
    // With the lock, a pause comes before the Continue of a drain or is refused.
    std::unique_lock lock(mutex_);
    if (!draining_) {
      if (loop_->Post(PauseRequest{mode, done})) return;
      refusal = Unavailable("the engine has stopped");
    }
  }
  done(std::move(refusal));
}

void EngineImpl::Continue(std::function<void(Status)> done) {
  if (!loop_->Post(ContinueRequest{done})) done(Unavailable("the engine has stopped"));
}

void EngineImpl::InspectCache(int /*rank*/, std::function<void(StatusOr<CacheSnapshot>)> done) {
  if (!loop_->Post(InspectCacheRequest{done})) done(Unavailable("the engine has stopped"));
}

StatusOr<std::string> EngineImpl::OpenSession(const SessionSettings& settings) {
  return sessions_.Open(settings, std::chrono::steady_clock::now());
}

Status EngineImpl::CloseSession(std::string_view id) {
  BANYAN_ASSIGN_OR_RETURN(const std::vector<RequestId> running, sessions_.Close(id));
  for (const RequestId request : running) Abort(request);
  return OkStatus();
}

void EngineImpl::Drain(std::function<void()> done) {
  {
    std::unique_lock lock(mutex_);
    draining_ = true;
    if (!live_.empty()) {
      drained_.push_back(std::move(done));
      // Whoever waits for the end of a pause would never end.
      loop_->Post(ContinueRequest{[](const Status&) {}});
      return;
    }
  }
  done();
}

void EngineImpl::Stop() {
  {
    std::unique_lock lock(mutex_);
    draining_ = true;
  }
  loop_->Post(StopRequest{});
}

void EngineImpl::Ended(RequestId sample) {
  std::vector<std::function<void()>> drained;
  {
    std::unique_lock lock(mutex_);
    auto found = live_.upper_bound(sample);
    if (found == live_.begin()) return;
    --found;
    if (--found->second.left > 0) return;
    live_.erase(found);
    if (draining_ && live_.empty()) drained.swap(drained_);
  }
  for (const auto& done : drained) done();
}

std::string EngineImpl::NameOf(RequestId sample) const {
  std::unique_lock lock(mutex_);
  auto found = live_.upper_bound(sample);
  const bool named = found != live_.begin() && !(--found)->second.rid.empty() &&
                     sample < found->first + found->second.samples;
  return named ? found->second.rid : fmt::format("#{}", sample);
}

EngineSnapshot EngineImpl::Snapshot() const {
  EngineSnapshot out;
  out.scheduler = loop_->stats();
  out.generation_throughput = loop_->generation_throughput();
  out.retracted = loop_->retracted();
  out.weight_bytes = parts_.model.weight_bytes;
  out.cache_bytes = parts_.cache_bytes;
  out.scratch_bytes = loop_->scratch_bytes();
  out.max_total_tokens = parts_.config.max_total_tokens;
  out.healthy = loop_->healthy();
  return out;
}

}  // namespace

StatusOr<std::unique_ptr<Engine>> MakeEngine(EngineParts parts) {
  BANYAN_ASSIGN_OR_RETURN(const KvEventsConfig events,
                          ParseKvEventsConfig(parts.config.kv_events_config));
  std::unique_ptr<KvEventPublisher> kv_events;
  if (events.publisher == "zmq") {
    BANYAN_ASSIGN_OR_RETURN(
        kv_events, KvEventPublisher::Open(events, parts.scheduler.page_size, parts.dp_rank));
    parts.scheduler.cache_observer = kv_events.get();
  }
  if (parts.metrics == nullptr) {
    parts.metrics = EngineMetrics::MakeRegistry(parts.config.served_model_name);
  }
  auto evictions = std::make_unique<EvictionTimer>(*parts.metrics, RankLabels(parts));
  parts.scheduler.eviction_observer = evictions.get();
  BANYAN_ASSIGN_OR_RETURN(std::unique_ptr<Scheduler> scheduler, Scheduler::Create(parts.scheduler));
  return std::make_unique<EngineImpl>(std::move(parts), std::move(kv_events), std::move(evictions),
                                      std::move(scheduler));
}

}  // namespace banyan
