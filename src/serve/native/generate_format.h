// SPDX-License-Identifier: Apache-2.0
// The replies of /generate: objects of text, output_ids and meta_info, as SGLang writes them.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "serve/generation.h"

namespace banyan::serve {

struct GenerateReplyInfo {
  bool batch = false;
  bool incremental = false;  // a stream's events carry what is new, not all so far
  bool text_in_logprobs = false;
  bool cache_report = false;              // meta_info says why not more was found in the cache
  std::vector<LogprobParams> per_prompt;  // what each prompt asked for
  std::string weight_version;
  std::shared_ptr<const text::Tokenizer> tokenizer;  // null: the replies have no text
  std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();
};

std::unique_ptr<ReplyFormat> MakeGenerateFormat(GenerateReplyInfo info);

}  // namespace banyan::serve
