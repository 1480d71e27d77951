// SPDX-License-Identifier: Apache-2.0
// The body of SGLang's own /generate, checked as the OpenAI ones are. A batch's fields may be given
// once for all or as a list, one per prompt.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "engine/sessions.h"
#include "sched/sampling_params.h"

namespace banyan::serve {

struct GenerateItem {
  std::optional<std::string> text;  // or
  std::vector<TokenId> input_ids;
  SamplingParams sampling;
  bool length_given = false;  // the request names max_new_tokens, null included
  LogprobParams logprobs;
  std::string rid;  // empty: one is made
  std::string extra_key;
  std::optional<SessionParams> session;
};

struct GenerateBody {
  std::vector<GenerateItem> items;
  bool batch = false;  // the reply is a list: several prompts were given as one, or n > 1
  bool stream = false;
  bool text_in_logprobs = false;
  std::optional<int> priority;
  std::string routing_key;
  std::optional<int> dp_rank;
  bool log = true;
  bool log_metrics = true;
};

// `defaults`: where sampling_params start from.
StatusOr<GenerateBody> ParseGenerateBody(const json::object& body, const SamplingParams& defaults);

// Reads an object of sampling parameters under SGLang's native names into `sampling`.
Status ParseSamplingParams(const json::object& object, std::string_view where,
                           SamplingParams& sampling);

}  // namespace banyan::serve
