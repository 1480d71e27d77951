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
constexpr int64_t kDefaultQueuedTokens = 1 << 26;  // half a gigabyte of prompts
// States that one running request has use of: its own, and the checkpoints of its last message, its
// prompt's end, and its output.
constexpr int64_t kStatesPerRequest = 4;

bool IsWindow(const CacheGroupSpec& group) {
  return group.type == CacheKindType::kWindow || group.type == CacheKindType::kChunkedLocal;
}

// What the cache groups of one model take.
class Needs {
 public:
  Needs(const EngineConfig& config, std::span<const CacheGroupSpec> groups) : config_(config) {
    bool all_windows = true;
    for (const CacheGroupSpec& group : groups) {
      const int64_t bytes = group.BytesPerToken();
      if (group.type == CacheKindType::kState) {
        slot_ += bytes;
      } else if (IsWindow(group)) {
        window_ += bytes;
        widest_ = std::max<int64_t>(widest_, group.window);
      } else {
        full_ += bytes;
        all_windows = false;
      }
    }
    ratio_ = all_windows ? 1.0 : config.swa_full_tokens_ratio;
  }

  bool paged() const { return full_ + window_ > 0; }
  int64_t slot() const { return slot_; }
  // Tokens that groups of windows hold where the others hold `tokens`: their share, and at least
  // what one request of any length needs.
  int64_t WindowTokens(int64_t tokens) const {
    const int64_t least =
        widest_ + std::max(config_.chunked_prefill_size, config_.page_size) + 2 * config_.page_size;
    const auto share = static_cast<int64_t>(ratio_ * static_cast<double>(tokens));
    return std::min(tokens, std::max(least, share)) / config_.page_size * config_.page_size;
  }
  int64_t Bytes(int64_t tokens) const { return full_ * tokens + window_ * WindowTokens(tokens); }
  // The most pages of tokens, at most `most`, that fit in `bytes`.
  int64_t Pages(int64_t bytes, int64_t most) const {
    int64_t low = 0, high = most;
    while (low < high) {
      const int64_t middle = low + (high - low + 1) / 2;
      if (Bytes(middle * config_.page_size) <= bytes) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  }
  // Slots of states for `bytes` of cache, by their share of it, at most those that are of use.
  int64_t Slots(int64_t bytes) const {
    if (slot_ == 0) return 0;
    if (config_.max_mamba_cache_size > 0) return config_.max_mamba_cache_size;
    const double ratio = config_.mamba_full_memory_ratio;
    const double share = paged() ? ratio / (1 + ratio) : 1.0;
    return std::min(static_cast<int64_t>(static_cast<double>(bytes) * share) / slot_,
                    kStatesPerRequest * config_.max_running_requests);
  }

 private:
  const EngineConfig& config_;
  int64_t full_ = 0, window_ = 0, slot_ = 0, widest_ = 0;
  double ratio_ = 1.0;
};

}  // namespace

StatusOr<SchedulerConfig> PlanMemory(EngineConfig& config, const nn::ModelInfo& model,
                                     int64_t available_bytes) {
  if (config.context_length == 0) config.context_length = model.context_length;
  if (config.max_running_requests == 0) {
    config.max_running_requests = kDefaultRunning;
  } else {
    config.max_running_requests = std::max(1, config.max_running_requests / config.dp_size);
  }
  if (config.max_queued_requests == 0) config.max_queued_requests = kDefaultQueued;
  if (config.max_queued_tokens == 0) config.max_queued_tokens = kDefaultQueuedTokens;
  if (config.chunked_prefill_size == 0) config.chunked_prefill_size = kDefaultChunk;
  if (config.mem_fraction_static == 0) config.mem_fraction_static = kDefaultFraction;

  const Needs needs(config, model.cache_groups);
  const auto share =
      static_cast<int64_t>(static_cast<double>(available_bytes) * config.mem_fraction_static);
  const int64_t budget = std::max<int64_t>(0, share - model.weight_bytes) / config.dp_size;
  const int64_t slots = needs.Slots(budget);
  const int64_t for_pages = std::max<int64_t>(0, budget - slots * needs.slot());
  // More than every running request at its full length is never used.
  const int64_t useful = (config.context_length + config.page_size - 1) / config.page_size *
                         config.max_running_requests;
  const int64_t affordable = needs.Pages(for_pages, useful);
  if (config.max_total_tokens == 0) {
    config.max_total_tokens = affordable * config.page_size;
  } else if (needs.Bytes(config.max_total_tokens) > for_pages) {
    LogWarning("--max-total-tokens {} takes more than the {} MB that --mem-fraction-static leaves",
               config.max_total_tokens, for_pages >> 20);
  }
  const int64_t pages = config.max_total_tokens / config.page_size;
  if (pages < 1 && config.max_total_tokens > 0)
    return InvalidArgument("--max-total-tokens {} is less than one page of {} tokens",
                           config.max_total_tokens, config.page_size);
  if (pages < 1 || (needs.slot() > 0 && slots < 1))
    return ResourceExhausted(
        "the cache needs {} bytes for one page of {} tokens{}, and {} bytes are left for it "
        "({:.0f} % of {} bytes, less {} of weights)",
        needs.Bytes(config.page_size), config.page_size,
        needs.slot() > 0 ? fmt::format(" and {} for one state", needs.slot()) : "", budget,
        100 * config.mem_fraction_static, available_bytes, model.weight_bytes);
  config.max_total_tokens = pages * config.page_size;

  SchedulerConfig out;
  out.groups = model.cache_groups;
  for (const CacheGroupSpec& group : model.cache_groups) {
    out.pages_per_group.push_back(group.type == CacheKindType::kState ? slots
                                  : IsWindow(group) ? needs.WindowTokens(config.max_total_tokens) /
                                                          config.page_size
                                                    : pages);
  }
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
  out.dynamic_chunking = config.enable_dynamic_chunking;
  out.prefill_max_requests = config.prefill_max_requests;
  out.priority_scheduling = config.enable_priority_scheduling;
  out.low_priority_first = config.schedule_low_priority_values_first;
  out.priority_preemption = !config.disable_priority_preemption;
  out.preemption_threshold = config.priority_scheduling_preemption_threshold;
  out.fair_share = config.enable_fair_share;
  out.max_queued = config.max_queued_requests;
  out.max_queued_tokens = config.max_queued_tokens;
  out.decode_checkpoint_interval = config.mamba_track_interval;
  out.make_request = config.make_request;
  return out;
}

}  // namespace banyan
