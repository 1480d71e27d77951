// SPDX-License-Identifier: Apache-2.0
#include "engine/config.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>

#include "base/json.h"
#include "engine/data_parallel.h"
#include "engine/histogram_bounds.h"
#include "engine/kv_events.h"

extern char** environ;

namespace banyan {
namespace {

constexpr int kTestRetractInterval = 3;  // SGLang's

std::string Get(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

Status ReadNumber(const char* name, double& to) {
  const std::string text = Get(name);
  if (text.empty()) return OkStatus();
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (*end != '\0' || !(value < 1e9)) return InvalidArgument("{}: \"{}\" is no number", name, text);
  to = std::max(0.0, value);
  return OkStatus();
}

Status ReadBool(const char* name, bool& to) {
  std::string text = Get(name);
  if (text.empty()) return OkStatus();
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  if (text == "1" || text == "true" || text == "yes" || text == "on") {
    to = true;
  } else if (text == "0" || text == "false" || text == "no" || text == "off") {
    to = false;
  } else {
    return InvalidArgument("{}: \"{}\" is neither true nor false", name, text);
  }
  return OkStatus();
}

// What a variable that has no effect here should be instead.
std::string_view Instead(std::string_view name) {
  static const std::map<std::string_view, std::string_view> known = {
      {"SGLANG_CLIP_MAX_NEW_TOKENS_ESTIMATION", "the estimate is clipped at 4096 tokens"},
      {"SGLANG_INIT_NEW_TOKEN_RATIO", "use --schedule-conservativeness"},
      {"SGLANG_MIN_NEW_TOKEN_RATIO_FACTOR", "use --schedule-conservativeness"},
      {"SGLANG_NEW_TOKEN_RATIO_DECAY_STEPS", "use --schedule-conservativeness"},
      {"SGLANG_RETRACT_DECODE_STEPS", "use --schedule-conservativeness"},
      {"SGLANG_DISABLE_CONSECUTIVE_PREFILL_OVERLAP", "use --disable-overlap-schedule"},
      {"SGLANG_ENABLE_SPEC_V2", "there is no speculative decoding yet"},
      {"SGLANG_HICACHE_FILE_BACKEND_STORAGE_DIR", "there is no disk tier yet"},
      {"SGLANG_USE_CUTEDSL_GDN_DECODE", "kernels are chosen at start"},
  };
  const auto found = known.find(name);
  return found == known.end() ? std::string_view() : found->second;
}

}  // namespace

Status EngineConfig::Validate() const {
  const auto one_of = [](std::string_view flag, const std::string& value,
                         std::initializer_list<std::string_view> allowed) -> Status {
    if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return OkStatus();
    return InvalidArgument("{}: \"{}\" is none of {}", flag, value, fmt::join(allowed, ", "));
  };
  if (model_path.empty()) return InvalidArgument("--model-path is missing");
  BANYAN_RETURN_IF_ERROR(
      one_of("--dtype", dtype, {"auto", "float32", "float", "bfloat16", "float16", "half"}));
  if (device != "cpu") {
    return InvalidArgument(
        "--device: \"{}\" is not a device that this build computes on: leave the flag out or give "
        "--device cpu",
        device);
  }
  BANYAN_RETURN_IF_ERROR(ParseLoadBalance(load_balance_method).status());
  BANYAN_RETURN_IF_ERROR(ParseKvEventsConfig(kv_events_config).status());
  BANYAN_RETURN_IF_ERROR(one_of("--sampling-defaults", sampling_defaults, {"model", "openai"}));
  const struct {
    std::string_view flag;
    int64_t value, min, max;
  } ranges[] = {
      {"--context-length", context_length, 0, int64_t{1} << 31},
      {"--mla-expand-rows", mla_expand_rows, 0, 1 << 30},
      {"--threads", threads, 0, 4096},
      {"--dp-size", dp_size, 1, 256},
      {"--page-size", page_size, 1, 4096},
      {"--max-total-tokens", max_total_tokens, 0, int64_t{1} << 40},
      {"--max-mamba-cache-size", max_mamba_cache_size, 0, 1 << 30},
      {"--max-running-requests", max_running_requests, 0, 1 << 20},
      {"--max-queued-requests", max_queued_requests, 0, 1 << 30},
      {"--chunked-prefill-size", chunked_prefill_size, -1, 1 << 30},
      {"--max-prefill-tokens", max_prefill_tokens, 1, 1 << 30},
      {"--prefill-max-requests", prefill_max_requests, 0, 1 << 20},
      {"--max-queued-tokens", max_queued_tokens, 0, int64_t{1} << 40},
      {"--mamba-track-interval", mamba_track_interval, 1, 1 << 20},
      {"--priority-scheduling-preemption-threshold", priority_scheduling_preemption_threshold,
       -(1 << 30), 1 << 30},
      {"--stream-interval", stream_interval, 1, 1 << 20},
      {"--decode-log-interval", decode_log_interval, 1, 1 << 30},
  };
  for (const auto& range : ranges) {
    if (range.value < range.min || range.value > range.max)
      return InvalidArgument("{}: {} is not within {} and {}", range.flag, range.value, range.min,
                             range.max);
  }
  for (const auto& [flag, bounds] :
       {std::pair{"--bucket-time-to-first-token", &metrics.bucket_time_to_first_token},
        {"--bucket-inter-token-latency", &metrics.bucket_inter_token_latency},
        {"--bucket-e2e-request-latency", &metrics.bucket_e2e_request_latency}})
    BANYAN_RETURN_IF_ERROR(CheckBounds(flag, *bounds));
  for (const auto& [flag, rule] :
       {std::pair{"--prompt-tokens-buckets", &metrics.prompt_tokens_buckets},
        {"--generation-tokens-buckets", &metrics.generation_tokens_buckets}})
    BANYAN_RETURN_IF_ERROR(BoundsByRule(flag, *rule).status());
  BANYAN_RETURN_IF_ERROR(
      ParseJsonObject(json_model_override_args, "--json-model-override-args").status());
  if (!(mem_fraction_static >= 0 && mem_fraction_static <= 1))
    return InvalidArgument("--mem-fraction-static: {} is not within 0 and 1", mem_fraction_static);
  if (!(swa_full_tokens_ratio > 0 && swa_full_tokens_ratio <= 1))
    return InvalidArgument("--swa-full-tokens-ratio: {} is not above 0 and at most 1",
                           swa_full_tokens_ratio);
  if (!(mamba_full_memory_ratio > 0 && mamba_full_memory_ratio <= 100))
    return InvalidArgument("--mamba-full-memory-ratio: {} is not above 0 and at most 100",
                           mamba_full_memory_ratio);
  if (!(schedule_conservativeness >= 0 && schedule_conservativeness <= 100))
    return InvalidArgument("--schedule-conservativeness: {} is not within 0 and 100",
                           schedule_conservativeness);
  if (!(watchdog_timeout >= 0)) return InvalidArgument("--watchdog-timeout: {}", watchdog_timeout);
  return OkStatus();
}

StatusOr<std::vector<std::string>> ReadEnvironment(EngineConfig& config) {
  BANYAN_RETURN_IF_ERROR(ReadNumber("SGLANG_REQ_WAITING_TIMEOUT", config.request_waiting_timeout));
  BANYAN_RETURN_IF_ERROR(ReadNumber("SGLANG_REQ_RUNNING_TIMEOUT", config.request_running_timeout));
  BANYAN_RETURN_IF_ERROR(
      ReadBool("SGLANG_RETURN_ORIGINAL_LOGPROB", config.return_original_logprob));
  BANYAN_RETURN_IF_ERROR(
      ReadBool("SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION", config.health_endpoint_generation));
  bool retract = false;
  double interval = kTestRetractInterval;
  BANYAN_RETURN_IF_ERROR(ReadBool("SGLANG_TEST_RETRACT", retract));
  BANYAN_RETURN_IF_ERROR(ReadNumber("SGLANG_TEST_RETRACT_INTERVAL", interval));
  if (retract) config.test_retract_interval = std::max(1, static_cast<int>(interval));
  config.hub = weights::ReadHubOptions([](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return value;
  });

  std::vector<std::string> warnings;
  constexpr std::string_view kHonoured[] = {"SGLANG_REQ_WAITING_TIMEOUT",
                                            "SGLANG_REQ_RUNNING_TIMEOUT",
                                            "SGLANG_RETURN_ORIGINAL_LOGPROB",
                                            "SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION",
                                            "SGLANG_TEST_RETRACT",
                                            "SGLANG_TEST_RETRACT_INTERVAL"};
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    if (!name.starts_with("SGLANG_") && !name.starts_with("SGL_")) continue;
    if (std::find(std::begin(kHonoured), std::end(kHonoured), name) != std::end(kHonoured))
      continue;
    const std::string_view instead = Instead(name);
    warnings.push_back(instead.empty() ? fmt::format("{} has no effect here", name)
                                       : fmt::format("{} has no effect here: {}", name, instead));
  }
  std::sort(warnings.begin(), warnings.end());
  return warnings;
}

}  // namespace banyan
