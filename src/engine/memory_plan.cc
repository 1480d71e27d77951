// SPDX-License-Identifier: Apache-2.0
#include "engine/memory_plan.h"

#include <algorithm>

#include "base/log.h"
#include "cache/kinds/kind.h"

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
// prompt's end, and two of its output.
constexpr int64_t kStatesPerRequest = 5;
// Logits of one pass, if those of a token of each request are not more; a step that wants more of
// them runs in several.
constexpr int64_t kMostLogitBytes = int64_t{128} << 20;
constexpr int64_t kLeastStep = 16;  // tokens

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
    const int64_t slack =
        CacheKind::ResumeSlack(config_.page_size, slot_ > 0 ? config_.mamba_track_interval : 0);
    const int64_t least = widest_ + slack +
                          std::max(config_.chunked_prefill_size, config_.page_size) +
                          2 * config_.page_size;
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

// The most tokens that the scheduler puts in one step: prompts go on by a page, however many rows
// decode; and, where they are not cut, the last one that is begun is taken whole.
int64_t StepTokens(const EngineConfig& config, int64_t cached_tokens) {
  const int64_t rows = config.max_running_requests, chunk = config.chunked_prefill_size;
  if (chunk > 0) return std::max(chunk, rows + std::min<int64_t>(chunk, config.page_size));
  return std::min(config.max_prefill_tokens + config.context_length, cached_tokens) + rows;
}

// Finds what the largest step takes, and makes it shorter until that is at most `most`.
Status FitStep(EngineConfig& config, const nn::ModelInfo& model, int64_t cached_tokens,
               int64_t most, StepBudget& steps) {
  const int given = config.chunked_prefill_size;
  const int64_t row_bytes = std::max<int64_t>(1, Bytes(DType::kF32, model.vocab_size));
  const int64_t rows = config.max_running_requests;
  const int64_t logit_rows = std::max<int64_t>(
      1, std::min(std::max(kMostLogitBytes, rows * row_bytes), most / 4) / row_bytes);
  StatusOr<StepMemory> needed = ResourceExhausted("");
  while (true) {
    const int64_t tokens = StepTokens(config, cached_tokens);
    needed = steps.measure({.tokens = tokens,
                            .rows = rows,
                            .length = std::min<int64_t>(config.context_length, cached_tokens),
                            .cached_tokens = cached_tokens,
                            .logit_rows = std::min(logit_rows, tokens),
                            .page_size = config.page_size});
    if (!needed.ok() && needed.status().code() != StatusCode::kResourceExhausted)
      return needed.status();
    if (needed.ok() && needed->bytes() <= most) break;
    if (config.chunked_prefill_size > 0 && config.chunked_prefill_size <= kLeastStep) {
      return ResourceExhausted(
          "a step of {} tokens needs {} for its temporaries and logits, and {} bytes are left for "
          "them: give fewer --max-running-requests than {}, or a lower --mem-fraction-static",
          tokens, needed.ok() ? fmt::format("{} bytes", needed->bytes()) : "more than there is",
          most, config.max_running_requests);
    }
    const int64_t chunk = config.chunked_prefill_size > 0 ? config.chunked_prefill_size : tokens;
    config.chunked_prefill_size = static_cast<int>(std::max(chunk / 2, kLeastStep));
  }
  if (config.chunked_prefill_size != given) {
    LogWarning(
        "--chunked-prefill-size {}: the temporaries of so long a step do not fit in the {} MB that "
        "are left for them; prompts are computed in parts of {} tokens",
        given, most >> 20, config.chunked_prefill_size);
  }
  if (logit_rows < rows) {
    LogWarning(
        "logits of {} requests fit at a time ({} KB each, in a quarter of the {} MB that are left "
        "for a step): of the {} that --max-running-requests allows, a step of more reads the "
        "weights several times; give fewer, or a lower --mem-fraction-static",
        logit_rows, row_bytes >> 10, most >> 20, rows);
  }
  steps.memory = *needed;
  return OkStatus();
}

}  // namespace

StatusOr<SchedulerConfig> PlanMemory(EngineConfig& config, const nn::ModelInfo& model,
                                     int64_t available_bytes, StepBudget* steps) {
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
  int64_t budget = std::max<int64_t>(0, share - model.weight_bytes) / config.dp_size;
  // More than every running request at its full length is never used.
  const int64_t useful = (config.context_length + config.page_size - 1) / config.page_size *
                         config.max_running_requests;
  if (steps != nullptr) {
    const int64_t left = steps->left_bytes / config.dp_size;
    // What is not for weights and cache; with a fraction of 1, some of what those would take.
    const int64_t most =
        std::min(left, std::max((available_bytes - share) / config.dp_size, left / 4));
    const int64_t cached = config.max_total_tokens > 0
                               ? config.max_total_tokens
                               : needs.Pages(budget, useful) * config.page_size;
    BANYAN_RETURN_IF_ERROR(FitStep(config, model, std::max<int64_t>(cached, 1), most, *steps));
    budget = std::min(budget, left - steps->memory.bytes());
  }
  const int64_t slots = needs.Slots(budget);
  const int64_t for_pages = std::max<int64_t>(0, budget - slots * needs.slot());
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
  out.rope_lengths = model.rope_lengths;
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
