// SPDX-License-Identifier: Apache-2.0
// The engine's series, under SGLang's names and with its buckets. Thread-safe.
#pragma once

#include <string>

#include "base/metrics.h"
#include "sched/request.h"
#include "sched/scheduler.h"

namespace banyan {

class EngineMetrics {
 public:
  explicit EngineMetrics(const std::string& model_name);

  Metrics& registry() { return registry_; }

  // Fixed at the start.
  void SetLimits(int64_t max_total_tokens, int page_size, int64_t pages, int64_t context_length);
  void SetStartup(double load_seconds, double total_seconds);

  // Told by the output thread; times in seconds.
  void Arrived();
  void Admitted(double queue_seconds, int prompt_tokens, int cached_tokens);
  void FirstToken(double seconds);
  void NextTokens(double seconds, int tokens);  // since the last ones
  void Ended(const FinishReason& reason, double seconds, int output_tokens);

  // Told by the engine's thread.
  void Update(const SchedulerStats& stats, double generation_throughput);

 private:
  Metrics registry_;
  Counter &requests_, &aborted_, &prompt_tokens_, &cached_tokens_, &generation_tokens_;
  Counter& retracted_requests_;
  Histogram &queue_time_, &first_token_, &inter_token_, &latency_;
  Gauge &running_, &waiting_, &used_tokens_, &token_usage_, &full_token_usage_, &throughput_;
  Gauge &hit_rate_, &new_token_ratio_, &retracted_, &available_, &evictable_, &kv_used_;
  Gauge &max_total_tokens_, &page_size_, &pages_, &context_length_, &startup_, &load_;
  int64_t retracted_before_ = 0;  // engine's thread
};

}  // namespace banyan
