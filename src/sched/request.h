// SPDX-License-Identifier: Apache-2.0
// What enters and leaves the scheduler.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/status.h"
#include "cache/cache_events.h"
#include "cache/cache_spec.h"
#include "sched/plan.h"
#include "sched/sampling_params.h"

namespace banyan {

using RequestId = uint64_t;  // given by the engine, never used twice
using TimePoint = std::chrono::steady_clock::time_point;

// A request as the engine hands it over: validated, tokenized, its limits resolved.
struct Arrival {
  RequestId id = 0;
  std::vector<TokenId> prompt;
  SamplingParams sampling;  // max_new_tokens is set
  LogprobParams logprobs;
  std::vector<TokenId>
      end_ids;  // ids that end it, the model's and the request's own; empty with ignore_eos
  uint64_t seed = 0;
  int priority = 0;
  std::string routing_key;      // for the policy of that name
  std::string fair_key;         // who shares fairly with whom
  std::string cache_namespace;  // adapter and version, weights version, extra_key / salt: prefixes
                                // are shared within one only
  // Prompt positions that later requests are likely to go on from (ends of messages): state is kept
  // there.
  std::vector<int32_t> checkpoints;
  TimePoint arrived;
  TimePoint queue_deadline = TimePoint::max();  // still without a row then: kUnavailable
  TimePoint deadline = TimePoint::max();        // not ended then: kDeadlineExceeded
  // From its first row on; not ended then: kUnavailable.
  TimePoint::duration running_limit = TimePoint::duration::max();
};

struct FinishReason {
  enum class Kind : uint8_t { kStop, kLength, kAbort };
  Kind kind = Kind::kLength;
  TokenId stop_token = -1;  // kStop by an id
  std::string stop_string;  // kStop by a string
  Status status;            // kAbort: why
};

// Found by the output thread: the text up to and including output token `index` holds a stop
// string, so the request ends there, however many tokens have been made since.
struct StopAt {
  RequestId id = 0;
  int32_t index = 0;  // 0-based; outputs [0, index] are kept
  std::string stop_string;
};

// What the scheduler tells of a request. Tokens are told in order, each once; after `finished`
// nothing more.
struct RequestEvent {
  RequestId id = 0;
  bool admitted = false;                    // first admission: the next two are set
  int32_t cached_tokens = 0;                // prompt tokens found in the cache
  CacheMiss cache_miss = CacheMiss::kNone;  // why not more
  std::vector<TokenId> tokens;
  std::vector<TokenLogprob> logprobs;         // of `tokens`, when asked for
  std::vector<TokenLogprob> prompt_logprobs;  // told once, with the first token or the end
  int32_t retractions = 0;                    // so far
  std::optional<FinishReason> finished;
  int32_t output_length =
      0;  // with `finished`: outputs that count (a late stop cuts those already told)
};

}  // namespace banyan
