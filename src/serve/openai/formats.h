// SPDX-License-Identifier: Apache-2.0
// The replies of /v1/chat/completions and /v1/completions, whole and as streams.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "serve/generation.h"

namespace banyan::serve {

struct OpenAiReplyInfo {
  std::string id, model, weight_version;
  int64_t created = 0;
  bool include_usage = false, continuous_usage = false;
  bool cache_details = false;  // asked for by the request: a stream ends with them in any case
  bool cache_report = false;   // wanted for all requests
  bool logprobs = false;
  int top_logprobs = 0;
  bool skip_special_tokens = true;
  int n = 1;                                         // samples per prompt
  std::shared_ptr<const text::Tokenizer> tokenizer;  // for the tokens of logprobs
};

std::unique_ptr<ReplyFormat> MakeChatFormat(OpenAiReplyInfo info);
// `echo`: the prompts' texts when they are to be repeated, else empty. `prompt_ends`: the last
// tokens of each, which decide how an output's text begins.
std::unique_ptr<ReplyFormat> MakeCompletionFormat(OpenAiReplyInfo info,
                                                  std::vector<std::string> echo,
                                                  std::vector<std::vector<TokenId>> prompt_ends);

}  // namespace banyan::serve
