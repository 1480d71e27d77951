// SPDX-License-Identifier: Apache-2.0
#include "engine/admission.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace banyan {
namespace {

// None is the longest there is. What is far away, the clock can still hold.
TimePoint::duration Limit(double seconds) {
  if (seconds <= 0) return TimePoint::duration::max();
  return std::chrono::duration_cast<TimePoint::duration>(
      std::chrono::duration<double>(std::min(seconds, 1e9)));
}

Status CheckIds(std::span<const TokenId> ids, int vocab_size, std::string_view field) {
  for (const TokenId id : ids) {
    if (id < 0 || id >= vocab_size)
      return InvalidArgument("{}: token id {} is not in the vocabulary (0 to {})", field, id,
                             vocab_size - 1);
  }
  return OkStatus();
}

// How many tokens may be generated: the request's own number, which must fit, or all that fit. A
// length that nobody asked for is no reason to refuse a long prompt.
StatusOr<int> ResolveMaxNewTokens(const GenerateRequest& request, const AdmissionLimits& limits) {
  const auto prompt = static_cast<int64_t>(request.input_ids.size());
  std::optional<int> wanted = request.sampling.max_new_tokens;
  if (!request.length_given && prompt + wanted.value_or(0) > limits.max_request_length)
    wanted = std::nullopt;
  if (prompt > limits.context_length || (prompt == limits.context_length && wanted != 0))
    return InvalidArgument(
        "The input ({} tokens) is longer than the model's context length ({} tokens).", prompt,
        limits.context_length);
  if (wanted && prompt + *wanted > limits.context_length)
    return InvalidArgument(
        "Requested token count exceeds the model's maximum context length of {} tokens. You "
        "requested a total of {} tokens: {} tokens from the input messages and {} tokens for the "
        "completion. Please reduce the number of tokens in the input messages or the completion to "
        "fit within the limit.",
        limits.context_length, prompt + *wanted, prompt, *wanted);
  const int64_t room = limits.max_request_length - prompt;
  if (room < wanted.value_or(1))
    return InvalidArgument(
        "The request needs {} tokens of cache ({} of the input and {} of the output), and the "
        "cache holds {} tokens in all.",
        prompt + wanted.value_or(1), prompt, wanted.value_or(1), limits.max_request_length);
  return static_cast<int>(wanted.value_or(static_cast<int>(std::min<int64_t>(room, 1 << 30))));
}

StatusOr<int> ResolvePriority(std::optional<int> given, const AdmissionLimits& limits) {
  if (limits.priorities) {
    if (given) return *given;
    if (limits.default_priority) return *limits.default_priority;
    return limits.low_priority_first ? std::numeric_limits<int>::max()
                                     : std::numeric_limits<int>::min();
  }
  if (given && limits.refuse_priorities)
    return Unavailable("priority: the server runs without --enable-priority-scheduling");
  return given.value_or(0);
}

Status CheckLogprobs(const GenerateRequest& request, const AdmissionLimits& limits) {
  const LogprobParams& logprobs = request.logprobs;
  if (!logprobs.enabled) return OkStatus();
  if (logprobs.prompt_start > static_cast<int>(request.input_ids.size()))
    return InvalidArgument("logprob_start_len: {} is beyond the prompt's {} tokens",
                           logprobs.prompt_start, request.input_ids.size());
  if (logprobs.prompt_start < -1)
    return InvalidArgument("logprob_start_len: {} is below -1", logprobs.prompt_start);
  if (logprobs.top_n < 0 || logprobs.top_n > limits.vocab_size)
    return InvalidArgument("top_logprobs_num: {} is not within 0 and the vocabulary's {}",
                           logprobs.top_n, limits.vocab_size);
  return CheckIds(logprobs.token_ids, limits.vocab_size, "token_ids_logprob");
}

}  // namespace

StatusOr<Arrival> MakeArrival(const GenerateRequest& request, const AdmissionLimits& limits,
                              uint64_t fallback_seed, TimePoint now) {
  const SamplingParams& sampling = request.sampling;
  if (request.input_ids.empty()) return InvalidArgument("the prompt is empty");
  BANYAN_RETURN_IF_ERROR(CheckIds(request.input_ids, limits.vocab_size, "input_ids"));
  BANYAN_RETURN_IF_ERROR(sampling.Validate(limits.vocab_size));
  BANYAN_RETURN_IF_ERROR(CheckLogprobs(request, limits));
  if (!limits.has_tokenizer && request.want_text)
    return InvalidArgument("text was asked for, and the engine runs without a tokenizer");
  if (!request.want_text && !sampling.stop.empty())
    return InvalidArgument("stop: stop strings need text, and only ids were asked for");

  Arrival arrival;
  BANYAN_ASSIGN_OR_RETURN(const int max_new_tokens, ResolveMaxNewTokens(request, limits));
  if (sampling.min_new_tokens > max_new_tokens)
    return InvalidArgument("min_new_tokens: {} is more than the {} that may be generated",
                           sampling.min_new_tokens, max_new_tokens);
  BANYAN_RETURN_IF_ERROR(CheckLogprobCount(LogprobCount(request, limits.max_request_length)));
  arrival.prompt = request.input_ids;
  arrival.sampling = sampling;
  arrival.sampling.max_new_tokens = max_new_tokens;
  arrival.logprobs = request.logprobs;
  if (!sampling.ignore_eos) {
    arrival.end_ids = limits.end_ids;
    arrival.end_ids.insert(arrival.end_ids.end(), sampling.stop_token_ids.begin(),
                           sampling.stop_token_ids.end());
    std::sort(arrival.end_ids.begin(), arrival.end_ids.end());
    arrival.end_ids.erase(std::unique(arrival.end_ids.begin(), arrival.end_ids.end()),
                          arrival.end_ids.end());
  }
  arrival.seed = sampling.seed.value_or(fallback_seed);
  BANYAN_ASSIGN_OR_RETURN(arrival.priority, ResolvePriority(request.priority, limits));
  arrival.routing_key = request.routing_key;
  arrival.fair_key = request.user.empty() ? request.routing_key : request.user;
  arrival.checkpoints = request.checkpoints;
  arrival.cache_namespace = request.extra_key;
  arrival.arrived = now;
  if (limits.waiting_timeout > 0) arrival.queue_deadline = now + Limit(limits.waiting_timeout);
  arrival.running_limit = Limit(limits.running_timeout);
  if (request.timeout) arrival.deadline = now + *request.timeout;
  return arrival;
}

double LogprobCount(const GenerateRequest& request, int64_t max_request_length) {
  // Most answers end long before they must. With so many tokens the most that OpenAI's API has, 128
  // samples with 20 alternatives, is within the bound.
  constexpr int64_t kOpenLength = 4096;
  const LogprobParams& wanted = request.logprobs;
  if (!wanted.enabled) return 0;
  const auto prompt = static_cast<int64_t>(request.input_ids.size());
  const int64_t inputs =
      wanted.prompt_start >= 0 ? std::max<int64_t>(prompt - wanted.prompt_start, 0) : 0;
  const int64_t room = std::max<int64_t>(max_request_length - prompt, 0);
  const std::optional<int> length = request.sampling.max_new_tokens;
  int64_t outputs = length && request.length_given ? room : std::min(room, kOpenLength);
  if (length) outputs = std::min<int64_t>(outputs, *length);
  return static_cast<double>(request.sampling.n) * static_cast<double>(inputs + outputs) *
         (1.0 + wanted.top_n + static_cast<double>(wanted.token_ids.size()));
}

Status CheckLogprobCount(double count) {
  constexpr int kMaxLogprobs = 1 << 24;
  if (count <= kMaxLogprobs) return OkStatus();
  return InvalidArgument(
      "the reply could hold {:.0f} log-probabilities, and at most {} are returned: ask for fewer "
      "alternatives, tokens or samples",
      count, kMaxLogprobs);
}

uint64_t SampleSeed(uint64_t seed, int index) {
  // An odd constant (2^64 over the golden ratio) keeps the samples' seeds apart.
  return seed + static_cast<uint64_t>(index) * 0x9e3779b97f4a7c15u;
}

}  // namespace banyan
