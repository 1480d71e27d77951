// SPDX-License-Identifier: Apache-2.0
#include "engine/engine_metrics.h"

#include <algorithm>
#include <utility>

#include "engine/histogram_bounds.h"

namespace banyan {
namespace {

constexpr double kFirstTokenBounds[] = {0.1, 0.2, 0.4, 0.6, 0.8, 1,  2,   4,   6,
                                        8,   10,  20,  40,  60,  80, 100, 200, 400};
constexpr double kInterTokenBounds[] = {0.002, 0.004, 0.006, 0.008, 0.010, 0.015, 0.020, 0.025,
                                        0.030, 0.035, 0.040, 0.060, 0.080, 0.100, 0.200, 0.400,
                                        0.600, 0.800, 1,     2,     4,     6,     8};
constexpr double kLatencyBounds[] = {0.1, 0.2, 0.4, 0.6, 0.8, 1,   2,   4,   6,    8,    10,
                                     20,  40,  60,  80,  100, 200, 400, 600, 1200, 1800, 2400};
constexpr double kQueueBounds[] = {0.001, 0.005, 0.010, 0.020, 0.050, 0.1, 0.2, 0.5,  1,    2,   3,
                                   4,     5,     10,    15,    20,    30,  40,  50,   60,   70,  80,
                                   90,    100,   200,   300,   400,   600, 800, 1000, 2000, 3000};

constexpr double kEvictionBounds[] = {0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007, 0.008, 0.009,
                                      0.010, 0.020, 0.030, 0.040, 0.050, 0.100, 0.200, 0.500, 1};

constexpr double kLengthBounds[] = {100,   300,    500,    700,    1000,   1500,   2000,  3000,
                                    4000,  5000,   6000,   7000,   8000,   9000,   10000, 12000,
                                    15000, 20000,  22000,  25000,  30000,  35000,  40000, 66000,
                                    99000, 132000, 300000, 600000, 900000, 1100000};

// SGLang's: 30 of them, from a millisecond on, each 1.62 times the one before.
std::vector<double> StageBounds() {
  std::vector<double> bounds;
  for (double bound = 0.001; bounds.size() < 30; bound *= 1.62) bounds.push_back(bound);
  return bounds;
}

std::span<const double> Given(const std::vector<double>& bounds, std::span<const double> others) {
  return bounds.empty() ? others : std::span<const double>(bounds);
}

// Of a kind of cache that requests hold.
double Share(const PoolUsage& pool) {
  return static_cast<double>(pool.leased) / static_cast<double>(std::max<int64_t>(1, pool.total));
}

Labels With(Labels labels, const char* name, const char* value) {
  labels.emplace_back(name, value);
  return labels;
}

Counter& TokensOf(Metrics& registry, const Labels& rank, const char* mode) {
  return registry.GetCounter("sglang:realtime_tokens_total",
                             "Tokens of prompts computed and found in the cache, and of outputs.",
                             With(rank, "mode", mode));
}

Counter& SecondsOf(Metrics& registry, const Labels& rank, const char* category) {
  return registry.GetCounter("sglang:forward_execution_seconds_total",
                             "Time that steps took: of prompts, of outputs, or of both.",
                             With(rank, "category", category));
}

Histogram& Stage(Metrics& registry, const Labels& rank, const char* stage) {
  return registry.GetHistogram("sglang:per_stage_req_latency_seconds",
                               "Time until a request waits, and from admission to its first token.",
                               StageBounds(), With(rank, "stage", stage));
}

}  // namespace

std::shared_ptr<Metrics> EngineMetrics::MakeRegistry(const std::string& model_name) {
  return std::make_shared<Metrics>(Labels{
      {"model_name", model_name}, {"engine_type", "unified"}, {"tp_rank", "0"}, {"pp_rank", "0"}});
}

EngineMetrics::EngineMetrics(std::shared_ptr<Metrics> registry, const Labels& rank,
                             std::span<const CacheGroupSpec> groups, const MetricsConfig& config)
    : registry_(std::move(registry)),
      rank_(rank),
      requests_(registry_->GetCounter("sglang:num_requests_total", "Requests accepted.", rank)),
      aborted_(registry_->GetCounter("sglang:num_aborted_requests_total",
                                     "Requests that ended by an abort or an error.", rank)),
      prompt_tokens_(
          registry_->GetCounter("sglang:prompt_tokens_total", "Prompt tokens admitted.", rank)),
      cached_tokens_(registry_->GetCounter("sglang:cached_tokens_total",
                                           "Prompt tokens found in the prefix cache.", rank)),
      generation_tokens_(
          registry_->GetCounter("sglang:generation_tokens_total", "Tokens generated.", rank)),
      retracted_requests_(registry_->GetCounter("sglang:num_retracted_requests_total",
                                                "Running requests put back into the queue.", rank)),
      retracted_input_(registry_->GetCounter("sglang:num_retracted_input_tokens_total",
                                             "Prompt tokens of those requests.", rank)),
      retracted_output_(registry_->GetCounter("sglang:num_retracted_output_tokens_total",
                                              "Output tokens of those requests.", rank)),
      evicted_tokens_(registry_->GetCounter("sglang:evicted_tokens_total",
                                            "Tokens that left the prefix cache.", rank)),
      realtime_prefill_(TokensOf(*registry_, rank, "prefill_compute")),
      realtime_cached_(TokensOf(*registry_, rank, "prefill_cache")),
      realtime_decode_(TokensOf(*registry_, rank, "decode")),
      extend_seconds_(SecondsOf(*registry_, rank, "extend")),
      decode_seconds_(SecondsOf(*registry_, rank, "decode")),
      mixed_seconds_(SecondsOf(*registry_, rank, "mixed")),
      queue_time_(registry_->GetHistogram("sglang:queue_time_seconds",
                                          "Time from arrival to admission.", kQueueBounds, rank)),
      first_token_(registry_->GetHistogram(
          "sglang:time_to_first_token_seconds", "Time from arrival to the first token.",
          Given(config.bucket_time_to_first_token, kFirstTokenBounds), rank)),
      inter_token_(registry_->GetHistogram(
          "sglang:inter_token_latency_seconds", "Time between two tokens of a request.",
          Given(config.bucket_inter_token_latency, kInterTokenBounds), rank)),
      latency_(registry_->GetHistogram(
          "sglang:e2e_request_latency_seconds", "Time from arrival to the end.",
          Given(config.bucket_e2e_request_latency, kLatencyBounds), rank)),
      process_(Stage(*registry_, rank, "request_process")),
      prefill_(Stage(*registry_, rank, "prefill_forward")),
      running_(registry_->GetGauge("sglang:num_running_reqs", "Requests running.", rank)),
      waiting_(registry_->GetGauge("sglang:num_queue_reqs", "Requests waiting.", rank)),
      paused_(registry_->GetGauge("sglang:num_paused_reqs",
                                  "Requests that stand still: generation is paused.", rank)),
      used_tokens_(registry_->GetGauge("sglang:num_used_tokens", "Tokens held by requests.", rank)),
      running_tokens_(registry_->GetGauge("sglang:decode_sum_seq_lens",
                                          "Tokens of the running requests together.", rank)),
      token_usage_(registry_->GetGauge("sglang:token_usage",
                                       "Share held of the fullest kind of cache.", rank)),
      throughput_(registry_->GetGauge("sglang:gen_throughput", "Tokens generated a second.", rank)),
      hit_rate_(registry_->GetGauge("sglang:cache_hit_rate",
                                    "Share of prompt tokens found in the prefix cache.", rank)),
      new_token_ratio_(registry_->GetGauge(
          "sglang:new_token_ratio", "Share of max_new_tokens that admission reserves.", rank)),
      retracted_(registry_->GetGauge("sglang:num_retracted_reqs",
                                     "Requests put back during the last decode log interval.",
                                     rank)),
      utilization_(registry_->GetGauge(
          "sglang:utilization", "How near the server is to its limits, 1 being there.", rank)),
      full_(MakePool("kv", "full", rank)),
      windows_(MakePool("swa", "swa", rank)),
      states_(MakePool("mamba", "mamba", rank)),
      max_total_tokens_(registry_->GetGauge("sglang:max_total_num_tokens",
                                            "Tokens that the cache can hold.", rank)),
      page_size_(registry_->GetGauge("sglang:page_size", "Tokens of one page.", rank)),
      pages_(registry_->GetGauge("sglang:num_pages", "Pages of the cache.", rank)),
      context_length_(
          registry_->GetGauge("sglang:context_len", "Tokens of the longest request.", rank)),
      startup_(registry_->GetGauge("sglang:engine_startup_time", "Seconds until ready.", rank)),
      load_(registry_->GetGauge("sglang:engine_load_weights_time",
                                "Seconds that loading the weights took.", rank)),
      running_keys_(registry_->GetGauge("sglang:num_unique_running_routing_keys",
                                        "Routing keys that have running requests.", rank)) {
  if (config.collect_tokens_histogram) {
    const auto lengths = [&](const char* name, const char* help,
                             const std::vector<std::string>& rule) {
      const auto bounds = BoundsByRule(name, rule).value_or(std::vector<double>());
      return &registry_->GetHistogram(name, help, Given(bounds, kLengthBounds), rank);
    };
    prompt_lengths_ = lengths("sglang:prompt_tokens_histogram", "Tokens of a request's prompt.",
                              config.prompt_tokens_buckets);
    uncached_lengths_ = lengths("sglang:uncached_prompt_tokens_histogram",
                                "Tokens of a request's prompt that were not in the prefix cache.",
                                config.prompt_tokens_buckets);
    output_lengths_ = lengths("sglang:generation_tokens_histogram", "Tokens of a request's output.",
                              config.generation_tokens_buckets);
  }
  for (int i = static_cast<int>(groups.size()) - 1; i >= 0; --i) {
    switch (groups[i].type) {
      case CacheKindType::kWindow:
      case CacheKindType::kChunkedLocal:
        windows_.pool = i;
        break;
      case CacheKindType::kState:
        states_.pool = i;
        break;
      case CacheKindType::kFull:
      case CacheKindType::kLatent:
        full_.pool = i;
        break;
    }
  }
  // What a model without full attention has for it, so that the page is never empty of tokens.
  if (full_.pool < 0) full_.pool = windows_.pool;
}

EngineMetrics::PoolGauges EngineMetrics::MakePool(const char* kind, const char* what,
                                                  const Labels& rank) {
  const auto tokens = [&](const char* which, const char* help) -> Gauge& {
    return registry_->GetGauge(fmt::format("sglang:{}_{}_tokens", kind, which), help, rank);
  };
  const bool states = std::string_view(kind) == "mamba";
  return {
      .available = tokens("available", "Free tokens of the cache (of states: states)."),
      .evictable = tokens("evictable", "Tokens of the cache that could be evicted."),
      .used = tokens("used", "Tokens of the cache in use."),
      .usage = registry_->GetGauge(fmt::format("sglang:{}{}_usage", what, states ? "" : "_token"),
                                   "Share of this kind of cache held.", rank)};
}

void EngineMetrics::UpdatePool(const PoolGauges& gauges, const std::vector<PoolUsage>& pools) {
  if (gauges.pool < 0 || gauges.pool >= static_cast<int>(pools.size())) return;
  const PoolUsage& pool = pools[gauges.pool];
  gauges.available.Set(static_cast<double>(pool.free * gauges.page));
  gauges.evictable.Set(static_cast<double>(pool.evictable * gauges.page));
  gauges.used.Set(static_cast<double>(pool.leased * gauges.page));
  gauges.usage.Set(Share(pool));
}

void EngineMetrics::SetLimits(int64_t max_total_tokens, int page_size, int64_t context_length,
                              int max_running_requests) {
  max_running_requests_ = std::max(1, max_running_requests);
  max_total_tokens_.Set(static_cast<double>(max_total_tokens));
  page_size_.Set(page_size);
  full_.page = windows_.page = page_size;
  pages_.Set(static_cast<double>(max_total_tokens / page_size));
  context_length_.Set(static_cast<double>(context_length));
}

void EngineMetrics::SetStartup(double load_seconds, double total_seconds) {
  load_.Set(load_seconds);
  startup_.Set(total_seconds);
}

void EngineMetrics::Arrived(bool logged, double seconds) {
  if (logged) requests_.Add();
  process_.Observe(seconds);
}

void EngineMetrics::Admitted(bool logged, double queue_seconds, int prompt_tokens,
                             int cached_tokens) {
  queue_time_.Observe(queue_seconds);
  realtime_cached_.Add(cached_tokens);
  if (!logged) return;
  prompt_tokens_.Add(prompt_tokens);
  cached_tokens_.Add(cached_tokens);
}

void EngineMetrics::FirstToken(bool logged, double seconds, double since_admitted) {
  if (logged) first_token_.Observe(seconds);
  prefill_.Observe(since_admitted);
}

void EngineMetrics::NextTokens(bool logged, double seconds, int tokens) {
  if (logged) inter_token_.Observe(seconds / tokens, tokens);
}

void EngineMetrics::Computes(int64_t prefill_tokens, int64_t decode_tokens) {
  realtime_prefill_.Add(static_cast<double>(prefill_tokens));
  realtime_decode_.Add(static_cast<double>(decode_tokens));
}

void EngineMetrics::Computed(bool prefill, bool decode, double seconds) {
  (prefill && decode ? mixed_seconds_ : prefill ? extend_seconds_ : decode_seconds_).Add(seconds);
}

void EngineMetrics::Ended(bool logged, const FinishReason& reason, double seconds,
                          int prompt_tokens, int cached_tokens, int output_tokens) {
  if (reason.kind == FinishReason::Kind::kAbort) aborted_.Add();
  if (!logged) return;
  if (prompt_lengths_ != nullptr) {
    prompt_lengths_->Observe(prompt_tokens);
    uncached_lengths_->Observe(prompt_tokens - cached_tokens);
    output_lengths_->Observe(output_tokens);
  }
  generation_tokens_.Add(output_tokens);
  latency_.Observe(seconds);
}

// Series as SGLang makes them: a gauge for each range of counts, which is not cumulative.
void EngineMetrics::UpdateRoutingKeys(const RoutingKeyLoad& load) {
  running_keys_.Set(static_cast<double>(load.running_keys()));
  const auto set = [&](auto& gauges, const char* name, const char* help,
                       const RoutingKeyLoad::Keys& keys) {
    if (gauges[0] == nullptr &&
        std::all_of(keys.begin(), keys.end(), [](int64_t count) { return count == 0; })) {
      return;
    }
    for (size_t i = 0; i < keys.size(); ++i) {
      if (gauges[i] == nullptr) {
        const auto& bounds = RoutingKeyLoad::kBounds;
        Labels labels = With(rank_, "gt", std::to_string(i == 0 ? 0 : bounds[i - 1]).c_str());
        labels = With(std::move(labels), "le",
                      i == bounds.size() ? "+Inf" : std::to_string(bounds[i]).c_str());
        gauges[i] = &registry_->GetGauge(name, help, labels);
      }
      gauges[i]->Set(static_cast<double>(keys[i]));
    }
  };
  set(keys_running_, "sglang:routing_key_running_req_count",
      "Routing keys by how many of their requests run (gt < count <= le).", load.running);
  set(keys_all_, "sglang:routing_key_all_req_count",
      "Routing keys by how many of their requests wait or run (gt < count <= le).", load.all);
}

EvictionTimer::EvictionTimer(Metrics& registry, const Labels& rank)
    : seconds_(registry.GetHistogram("sglang:eviction_duration_seconds",
                                     "Time that an eviction from the prefix cache took.",
                                     kEvictionBounds, rank)) {}

void EvictionTimer::OnEvictionEnds(int64_t pages) {
  if (pages == 0) return;
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began_;
  seconds_.Observe(took.count());
}

void EngineMetrics::Update(const SchedulerStats& stats, double generation_throughput,
                           int64_t retracted) {
  running_.Set(stats.running);
  waiting_.Set(stats.waiting);
  paused_.Set(stats.paused ? stats.running : 0);
  running_tokens_.Set(static_cast<double>(stats.running_tokens));
  used_tokens_.Set(static_cast<double>(stats.used_tokens));
  throughput_.Set(generation_throughput);
  new_token_ratio_.Set(stats.new_token_ratio);
  const auto grown = [&](int64_t SchedulerStats::*total) {
    return static_cast<double>(stats.*total - before_.*total);
  };
  retracted_.Set(static_cast<double>(retracted));
  retracted_requests_.Add(grown(&SchedulerStats::retracted_total));
  retracted_input_.Add(grown(&SchedulerStats::retracted_input_total));
  retracted_output_.Add(grown(&SchedulerStats::retracted_output_total));
  evicted_tokens_.Add(grown(&SchedulerStats::evicted_tokens_total));
  before_ = stats;
  if (stats.prompt_tokens_total > 0) {
    hit_rate_.Set(static_cast<double>(stats.cached_tokens_total) /
                  static_cast<double>(stats.prompt_tokens_total));
  }
  double usage = 0;
  for (const PoolUsage& pool : stats.pools) usage = std::max(usage, Share(pool));
  token_usage_.Set(usage);
  // SGLang's formula, in which the first is the most that an operator wants running.
  utilization_.Set(
      std::max(static_cast<double>(stats.running) / max_running_requests_, usage / 0.9));
  UpdateRoutingKeys(stats.routing_keys);
  for (const PoolGauges* gauges : {&full_, &windows_, &states_}) UpdatePool(*gauges, stats.pools);
}

}  // namespace banyan
