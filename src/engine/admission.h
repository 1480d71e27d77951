// SPDX-License-Identifier: Apache-2.0
// What a request must satisfy before it is accepted, and what its open settings become. Refusals
// are SGLang's, with both numbers; nothing is truncated.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"
#include "sched/request.h"

namespace banyan {

// What one engine can do, fixed when it starts.
struct AdmissionLimits {
  int vocab_size = 0;
  int64_t context_length = 0;      // positions that the model allows
  int64_t max_request_length = 0;  // what the cache can hold of one request, at most the above
  bool has_tokenizer = false;
  std::vector<TokenId> end_ids;    // of the model, its generation config and its tokenizer
  double waiting_timeout = 0;      // seconds, 0: none
  double running_timeout = 0;      // from the first row on
  bool priorities = false;         // requests are ordered by priority
  bool refuse_priorities = false;  // and if not, one that brings a priority is refused
  bool low_priority_first = false;
  std::optional<int> default_priority;  // none: the worst there is
};

// The arrival of sample 0, without its id; max_new_tokens is resolved. kInvalidArgument names the
// field.
StatusOr<Arrival> MakeArrival(const GenerateRequest& request, const AdmissionLimits& limits,
                              uint64_t fallback_seed, TimePoint now);

// How many log-probabilities the replies to all samples can hold: of the prompt, and of as much
// output as the request asks for and `max_request_length` leaves room for. A length that nobody
// asked for counts as that of a long answer. A real number, as foreign ones are multiplied.
double LogprobCount(const GenerateRequest& request, int64_t max_request_length);
// kInvalidArgument when that is more than fit into memory in passing.
Status CheckLogprobCount(double count);

// The seed of sample `index` of a request with n > 1: sample 0 keeps the request's own.
uint64_t SampleSeed(uint64_t seed, int index);

}  // namespace banyan
