// SPDX-License-Identifier: Apache-2.0
// The engine's series, under SGLang's names and with its buckets. Thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <span>
#include <string>

#include "base/metrics.h"
#include "cache/cache_spec.h"
#include "engine/config.h"
#include "sched/request.h"
#include "sched/scheduler.h"

namespace banyan {

class EngineMetrics {
 public:
  // The page of one server; with several data-parallel ranks, of all of them.
  static std::shared_ptr<Metrics> MakeRegistry(const std::string& model_name);

  // `rank`: the labels of these series beside those of all. `groups`: what the model caches.
  EngineMetrics(std::shared_ptr<Metrics> registry, const Labels& rank,
                std::span<const CacheGroupSpec> groups, const MetricsConfig& config = {});

  Metrics& registry() { return *registry_; }

  // Fixed at the start.
  void SetLimits(int64_t max_total_tokens, int page_size, int64_t context_length,
                 int max_running_requests);
  void SetStartup(double load_seconds, double total_seconds);

  // Told by the output thread; times in seconds. `logged`: whether the request is in SGLang's
  // series of the tokenizer manager; those of its scheduler (queue and stage times, aborts) have
  // every request.
  void Arrived(bool logged, double seconds);  // ago
  void Admitted(bool logged, double queue_seconds, int prompt_tokens, int cached_tokens);
  void FirstToken(bool logged, double seconds, double since_admitted);
  void NextTokens(bool logged, double seconds, int tokens);  // since the last ones
  void Ended(bool logged, const FinishReason& reason, double seconds, int prompt_tokens,
             int cached_tokens, int output_tokens);

  // Told by the engine's thread: what a step is to compute, and how long one took, which had
  // prompts' tokens, outputs' or both.
  void Computes(int64_t prefill_tokens, int64_t decode_tokens);
  void Computed(bool prefill, bool decode, double seconds);
  void Update(const SchedulerStats& stats, double generation_throughput, int64_t retracted);

 private:
  // The tokens of one kind of cache; of states, a state is one.
  struct PoolGauges {
    Gauge &available, &evictable, &used, &usage;
    int pool = -1;  // which of the pools; none: the model has no such kind
    int page = 1;
  };
  PoolGauges MakePool(const char* kind, const char* what, const Labels& rank);
  static void UpdatePool(const PoolGauges& gauges, const std::vector<PoolUsage>& pools);
  void UpdateRoutingKeys(const RoutingKeyLoad& load);

  const std::shared_ptr<Metrics> registry_;
  const Labels rank_;
  Counter &requests_, &aborted_, &prompt_tokens_, &cached_tokens_, &generation_tokens_;
  Counter &retracted_requests_, &retracted_input_, &retracted_output_, &evicted_tokens_;
  Counter &realtime_prefill_, &realtime_cached_, &realtime_decode_;
  Counter &extend_seconds_, &decode_seconds_, &mixed_seconds_;
  Histogram &queue_time_, &first_token_, &inter_token_, &latency_, &process_, &prefill_;
  // Lengths of requests: null unless they are wanted.
  Histogram *prompt_lengths_ = nullptr, *uncached_lengths_ = nullptr, *output_lengths_ = nullptr;
  Gauge &running_, &waiting_, &paused_, &used_tokens_, &running_tokens_, &token_usage_;
  Gauge &throughput_, &hit_rate_, &new_token_ratio_, &retracted_, &utilization_;
  PoolGauges full_, windows_, states_;
  Gauge &max_total_tokens_, &page_size_, &pages_, &context_length_, &startup_, &load_;
  // From the first request on that has a routing key.
  std::array<Gauge*, std::tuple_size_v<RoutingKeyLoad::Keys>> keys_running_{}, keys_all_{};
  Gauge& running_keys_;
  int max_running_requests_ = 1;
  SchedulerStats before_;  // engine's thread
};

// How long evictions took. On the engine's thread.
class EvictionTimer final : public EvictionObserver {
 public:
  EvictionTimer(Metrics& registry, const Labels& rank);
  void OnEvictionBegins() override { began_ = std::chrono::steady_clock::now(); }
  void OnEvictionEnds(int64_t pages) override;

 private:
  Histogram& seconds_;
  std::chrono::steady_clock::time_point began_;
};

}  // namespace banyan
