// SPDX-License-Identifier: Apache-2.0
#include "sched/sampling_params.h"

#include <cmath>

namespace banyan {

Status SamplingParams::Validate(int vocab_size) const {
  if (!std::isfinite(temperature) || temperature < 0) {
    return InvalidArgument("temperature must be a finite number of at least 0, got {}",
                           temperature);
  }
  if (!(top_p > 0 && top_p <= 1)) return InvalidArgument("top_p must be in (0, 1], got {}", top_p);
  if (!(min_p >= 0 && min_p <= 1)) return InvalidArgument("min_p must be in [0, 1], got {}", min_p);
  if (top_k != -1 && top_k < 1) {
    return InvalidArgument("top_k must be -1 (all tokens) or at least 1, got {}", top_k);
  }
  if (!(frequency_penalty >= -2 && frequency_penalty <= 2)) {
    return InvalidArgument("frequency_penalty must be in [-2, 2], got {}", frequency_penalty);
  }
  if (!(presence_penalty >= -2 && presence_penalty <= 2)) {
    return InvalidArgument("presence_penalty must be in [-2, 2], got {}", presence_penalty);
  }
  if (!(repetition_penalty > 0 && repetition_penalty <= 2)) {
    return InvalidArgument("repetition_penalty must be in (0, 2], got {}", repetition_penalty);
  }
  if (min_new_tokens < 0) {
    return InvalidArgument("min_new_tokens must be at least 0, got {}", min_new_tokens);
  }
  if (max_new_tokens.has_value()) {
    if (*max_new_tokens < 0) {
      return InvalidArgument("max_new_tokens must be at least 0, got {}", *max_new_tokens);
    }
    if (min_new_tokens > *max_new_tokens) {
      return InvalidArgument("min_new_tokens must be in [0, max_new_tokens({})], got {}",
                             *max_new_tokens, min_new_tokens);
    }
  }
  if (n < 1) return InvalidArgument("n must be at least 1, got {}", n);
  for (const auto& [id, bias] : logit_bias) {
    if (id < 0 || id >= vocab_size) {
      return InvalidArgument("logit_bias must have keys in [0, {}), got {}", vocab_size, id);
    }
    if (!std::isfinite(bias))
      return InvalidArgument("logit_bias must be finite, and that of {} is not", id);
  }
  for (TokenId id : stop_token_ids) {
    if (id < 0 || id >= vocab_size) {
      return InvalidArgument("stop_token_ids must be in [0, {}), got {}", vocab_size, id);
    }
  }
  for (const std::string& text : stop) {
    if (text.empty()) return InvalidArgument("stop must not hold an empty string");
  }
  return OkStatus();
}

}  // namespace banyan
