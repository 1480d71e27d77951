// SPDX-License-Identifier: Apache-2.0
#include "sched/request_state.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace banyan {

Request::Request(Arrival a, uint64_t s)
    : arrival(std::move(a)), sequence(s), tokens(arrival.prompt) {
  // Nothing comes before the first token, so its logprob is known to be none.
  if (arrival.logprobs.wants_prompt(prompt_length()) && arrival.logprobs.prompt_start == 0) {
    prompt_logprobs.push_back({.id = tokens[0]});
  }
}

void Request::Transition(RequestTransition transition) {
  const auto refuse = [&] {
    BANYAN_CHECK(false, "request {}: transition {} in state {}", id(), static_cast<int>(transition),
                 static_cast<int>(state_));
  };
  switch (transition) {
    case RequestTransition::kAdmit:
      if (state_ != RequestState::kWaiting) refuse();
      state_ = RequestState::kRunning;
      return;
    case RequestTransition::kRetract:
      if (state_ != RequestState::kRunning) refuse();
      state_ = RequestState::kWaiting;
      return;
    case RequestTransition::kFinish:
      if (state_ == RequestState::kFinished) refuse();
      state_ = RequestState::kFinished;
      return;
  }
}

int32_t Request::next_prompt_logprob() const {
  if (!arrival.logprobs.wants_prompt(prompt_length())) return prompt_length();
  return arrival.logprobs.prompt_start + static_cast<int32_t>(prompt_logprobs.size());
}

Position Request::match_limit() const {
  Position limit = static_cast<Position>(tokens.size()) - 1;
  if (next_prompt_logprob() < prompt_length()) {
    limit = std::min<Position>(limit, next_prompt_logprob() - 1);
  }
  return limit;
}

bool Request::EndsAt(int32_t index, FinishReason* reason) const {
  if (index + 1 >= max_new_tokens()) {
    reason->kind = FinishReason::Kind::kLength;
    return true;
  }
  const TokenId token = tokens[prompt_length() + index];
  if (index < arrival.sampling.min_new_tokens) return false;
  if (std::find(arrival.end_ids.begin(), arrival.end_ids.end(), token) == arrival.end_ids.end()) {
    return false;
  }
  reason->kind = FinishReason::Kind::kStop;
  reason->stop_token = token;
  return true;
}

}  // namespace banyan
