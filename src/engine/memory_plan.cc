// SPDX-License-Identifier: Apache-2.0
#include "engine/memory_plan.h"

#include <algorithm>

#include "base/log.h"

namespace banyan {
namespace {

// Of the memory that was free at the start, for weights and cache. The rest is for activations,
// logits, and other programs.
constexpr double kDefaultFraction = 0.6;
constexpr int kDefaultRunning = 256;
constexpr int kDefaultChunk = 2048;
constexpr int kDefaultQueued = 4096;

}  // namespace

StatusOr<SchedulerConfig> PlanMemory(EngineConfig& config, const nn::ModelInfo& model,
                                     int64_t available_bytes) {
  if (config.context_length == 0) {
    config.context_length = model.context_length;
  } else if (config.context_length > model.context_length) {
    LogWarning("--context-length {} is more than the {} that the model declares",
               config.context_length, model.context_length);
  }
  if (config.max_running_requests == 0) config.max_running_requests = kDefaultRunning;
  if (config.max_queued_requests == 0) config.max_queued_requests = kDefaultQueued;
  if (config.chunked_prefill_size == 0) config.chunked_prefill_size = kDefaultChunk;
  if (config.mem_fraction_static == 0) config.mem_fraction_static = kDefaultFraction;

  int64_t bytes_per_token = 0;
  for (const CacheGroupSpec& group : model.cache_groups) bytes_per_token += group.BytesPerToken();
  bytes_per_token = std::max<int64_t>(1, bytes_per_token);
  const auto share =
      static_cast<int64_t>(static_cast<double>(available_bytes) * config.mem_fraction_static);
  const int64_t budget = std::max<int64_t>(0, share - model.weight_bytes);
  const int64_t affordable = budget / bytes_per_token;
  // More than every running request at its full length is never used.
  const int64_t useful = config.context_length * config.max_running_requests;
  if (config.max_total_tokens == 0) {
    config.max_total_tokens = std::min(affordable, useful);
  } else if (config.max_total_tokens > affordable) {
    LogWarning("--max-total-tokens {} takes more than the {} MB that --mem-fraction-static leaves",
               config.max_total_tokens, budget >> 20);
  }
  const int64_t pages = config.max_total_tokens / config.page_size;
  if (pages < 1)
    return ResourceExhausted(
        "the cache needs {} bytes for one page of {} tokens, and {} bytes are left for it ({:.0f} "
        "% of {} bytes, less {} of weights)",
        bytes_per_token * config.page_size, config.page_size, budget,
        100 * config.mem_fraction_static, available_bytes, model.weight_bytes);
  config.max_total_tokens = pages * config.page_size;

  SchedulerConfig out;
  out.groups = model.cache_groups;
  out.pages_per_group.assign(model.cache_groups.size(), pages);
  out.page_size = config.page_size;
  out.max_running = config.max_running_requests;
  out.max_length = std::min(config.context_length, config.max_total_tokens);
  out.chunked_prefill_size = config.chunked_prefill_size;
  out.max_prefill_tokens = config.max_prefill_tokens;
  out.mixed_chunk = config.enable_mixed_chunk;
  out.schedule_conservativeness = config.schedule_conservativeness;
  out.disable_prefix_cache = config.disable_radix_cache;
  out.max_inflight = config.disable_overlap_schedule ? 1 : 2;
  out.retract_interval = config.test_retract_interval;
  out.policy = config.schedule_policy;
  out.eviction_policy = config.radix_eviction_policy;
  return out;
}

}  // namespace banyan
