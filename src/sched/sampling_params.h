// SPDX-License-Identifier: Apache-2.0
// How a request's tokens are chosen and when it ends: SGLang's names, defaults and ranges.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "cache/cache_spec.h"

namespace banyan {

struct SamplingParams {
  std::optional<int> max_new_tokens = 128;  // none: as many as fit; 0: prefill only
  int min_new_tokens = 0;
  std::vector<std::string> stop;
  std::vector<TokenId> stop_token_ids;  // besides the model's own end tokens
  bool ignore_eos = false;
  bool no_stop_trim = false;
  bool skip_special_tokens = true;
  bool spaces_between_special_tokens = true;

  float temperature = 1.0f;  // below 1e-6: greedy
  float top_p = 1.0f;
  int top_k = -1;  // -1: all
  float min_p = 0.0f;
  float frequency_penalty = 0.0f;
  float presence_penalty = 0.0f;
  float repetition_penalty = 1.0f;  // over generated tokens
  std::vector<std::pair<TokenId, float>> logit_bias;
  std::optional<uint64_t> seed;  // none: drawn by the engine
  int n = 1;

  bool greedy() const { return temperature < 1e-6f || top_k == 1; }

  // Everything within the range that SGLang accepts, ids below `vocab_size`; the error names the
  // field.
  Status Validate(int vocab_size) const;
};

// Which log-probabilities a request wants back.
struct LogprobParams {
  bool enabled = false;
  int prompt_start = -1;  // first prompt position whose logprob is wanted; -1: outputs only
  int top_n = 0;
  std::vector<TokenId> token_ids;  // ids whose logprob is wanted at every position

  bool wants_prompt(int prompt_length) const {
    return enabled && prompt_start >= 0 && prompt_start < prompt_length;
  }
};

struct TokenLogprob {
  TokenId id = 0;
  std::optional<float> logprob;                // none only for the first prompt token
  std::vector<std::pair<float, TokenId>> top;  // best first, top_n of them
  std::vector<float> of_ids;                   // in the order of LogprobParams::token_ids
};

}  // namespace banyan
