// SPDX-License-Identifier: Apache-2.0
#include "engine/engine_metrics.h"

#include <algorithm>

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

}  // namespace

EngineMetrics::EngineMetrics(const std::string& model_name)
    : registry_({{"model_name", model_name},
                 {"engine_type", "unified"},
                 {"tp_rank", "0"},
                 {"pp_rank", "0"}}),
      requests_(registry_.GetCounter("sglang:num_requests_total", "Requests accepted.")),
      aborted_(registry_.GetCounter("sglang:num_aborted_requests_total",
                                    "Requests that ended by an abort or an error.")),
      prompt_tokens_(registry_.GetCounter("sglang:prompt_tokens_total", "Prompt tokens admitted.")),
      cached_tokens_(registry_.GetCounter("sglang:cached_tokens_total",
                                          "Prompt tokens found in the prefix cache.")),
      generation_tokens_(
          registry_.GetCounter("sglang:generation_tokens_total", "Tokens generated.")),
      retracted_requests_(registry_.GetCounter("sglang:num_retracted_requests_total",
                                               "Running requests put back into the queue.")),
      queue_time_(registry_.GetHistogram("sglang:queue_time_seconds",
                                         "Time from arrival to admission.", kQueueBounds)),
      first_token_(registry_.GetHistogram("sglang:time_to_first_token_seconds",
                                          "Time from arrival to the first token.",
                                          kFirstTokenBounds)),
      inter_token_(registry_.GetHistogram("sglang:inter_token_latency_seconds",
                                          "Time between two tokens of a request.",
                                          kInterTokenBounds)),
      latency_(registry_.GetHistogram("sglang:e2e_request_latency_seconds",
                                      "Time from arrival to the end.", kLatencyBounds)),
      running_(registry_.GetGauge("sglang:num_running_reqs", "Requests running.")),
      waiting_(registry_.GetGauge("sglang:num_queue_reqs", "Requests waiting.")),
      used_tokens_(registry_.GetGauge("sglang:num_used_tokens", "Tokens held by requests.")),
      token_usage_(registry_.GetGauge("sglang:token_usage", "Share of the cache held.")),
      full_token_usage_(
          registry_.GetGauge("sglang:full_token_usage", "Share of the full-attention cache held.")),
      throughput_(registry_.GetGauge("sglang:gen_throughput", "Tokens generated a second.")),
      hit_rate_(registry_.GetGauge("sglang:cache_hit_rate",
                                   "Share of prompt tokens found in the prefix cache.")),
      new_token_ratio_(registry_.GetGauge("sglang:new_token_ratio",
                                          "Share of max_new_tokens that admission reserves.")),
      retracted_(registry_.GetGauge("sglang:num_retracted_reqs",
                                    "Requests put back since the last update.")),
      available_(registry_.GetGauge("sglang:kv_available_tokens", "Free tokens of the cache.")),
      evictable_(registry_.GetGauge("sglang:kv_evictable_tokens",
                                    "Tokens of the cache that could be evicted.")),
      kv_used_(registry_.GetGauge("sglang:kv_used_tokens", "Tokens of the cache in use.")),
      max_total_tokens_(
          registry_.GetGauge("sglang:max_total_num_tokens", "Tokens that the cache can hold.")),
      page_size_(registry_.GetGauge("sglang:page_size", "Tokens of one page.")),
      pages_(registry_.GetGauge("sglang:num_pages", "Pages of the cache.")),
      context_length_(registry_.GetGauge("sglang:context_len", "Tokens of the longest request.")),
      startup_(registry_.GetGauge("sglang:engine_startup_time", "Seconds until ready.")),
      load_(registry_.GetGauge("sglang:engine_load_weights_time",
                               "Seconds that loading the weights took.")) {}

void EngineMetrics::SetLimits(int64_t max_total_tokens, int page_size, int64_t pages,
                              int64_t context_length) {
  max_total_tokens_.Set(static_cast<double>(max_total_tokens));
  page_size_.Set(page_size);
  pages_.Set(static_cast<double>(pages));
  context_length_.Set(static_cast<double>(context_length));
}

void EngineMetrics::SetStartup(double load_seconds, double total_seconds) {
  load_.Set(load_seconds);
  startup_.Set(total_seconds);
}

void EngineMetrics::Arrived() { requests_.Add(); }

void EngineMetrics::Admitted(double queue_seconds, int prompt_tokens, int cached_tokens) {
  queue_time_.Observe(queue_seconds);
  prompt_tokens_.Add(prompt_tokens);
  cached_tokens_.Add(cached_tokens);
}

void EngineMetrics::FirstToken(double seconds) { first_token_.Observe(seconds); }

void EngineMetrics::NextTokens(double seconds, int tokens) {
  inter_token_.Observe(seconds / tokens, tokens);
}

void EngineMetrics::Ended(const FinishReason& reason, double seconds, int output_tokens) {
  generation_tokens_.Add(output_tokens);
  latency_.Observe(seconds);
  if (reason.kind == FinishReason::Kind::kAbort) aborted_.Add();
}

void EngineMetrics::Update(const SchedulerStats& stats, double generation_throughput) {
  running_.Set(stats.running);
  waiting_.Set(stats.waiting);
  used_tokens_.Set(static_cast<double>(stats.used_tokens));
  throughput_.Set(generation_throughput);
  new_token_ratio_.Set(stats.new_token_ratio);
  const auto retracted = static_cast<double>(stats.retracted_total - retracted_before_);
  retracted_before_ = stats.retracted_total;
  retracted_.Set(retracted);
  retracted_requests_.Add(retracted);
  if (stats.prompt_tokens_total > 0) {
    hit_rate_.Set(static_cast<double>(stats.cached_tokens_total) /
                  static_cast<double>(stats.prompt_tokens_total));
  }
  const double capacity = std::max(1.0, max_total_tokens_.value());
  token_usage_.Set(static_cast<double>(stats.used_tokens) / capacity);
  if (stats.pools.empty()) return;
  const PoolUsage& pool = stats.pools.front();
  const double page = page_size_.value();
  available_.Set(static_cast<double>(pool.free) * page);
  evictable_.Set(static_cast<double>(pool.evictable) * page);
  kv_used_.Set(static_cast<double>(pool.leased) * page);
  full_token_usage_.Set(static_cast<double>(pool.leased) /
                        static_cast<double>(std::max<int64_t>(1, pool.total)));
}

}  // namespace banyan
