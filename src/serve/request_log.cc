// SPDX-License-Identifier: Apache-2.0
#include "serve/request_log.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/log.h"
#include "serve/json_writer.h"

namespace banyan::serve {

void RequestLog::Received(const GenerateRequest& request) const {
  constexpr std::size_t kShownIds = 256;
  const SamplingParams& sampling = request.sampling;
  std::string line = "Receive: rid=";
  AppendJsonString(line, request.rid);  // the client's own words
  auto out = std::back_inserter(line);
  fmt::format_to(out, " prompt_tokens={} priority={}", request.input_ids.size(), request.priority);
  if (level_ >= 1) {
    fmt::format_to(out,
                   " sampling: temperature={} top_p={} top_k={} min_p={} frequency_penalty={}"
                   " presence_penalty={} repetition_penalty={} n={} ignore_eos={}"
                   " min_new_tokens={} stop={} stop_token_ids={}",
                   sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p,
                   sampling.frequency_penalty, sampling.presence_penalty,
                   sampling.repetition_penalty, sampling.n, sampling.ignore_eos,
                   sampling.min_new_tokens, sampling.stop, sampling.stop_token_ids);
    if (sampling.max_new_tokens)
      fmt::format_to(out, " max_new_tokens={}", *sampling.max_new_tokens);
    if (sampling.seed) fmt::format_to(out, " seed={}", *sampling.seed);
  }
  if (level_ >= 2) {
    const std::size_t shown =
        level_ >= 3 ? request.input_ids.size() : std::min(request.input_ids.size(), kShownIds);
    fmt::format_to(out, " input_ids=[{}{}]",
                   fmt::join(request.input_ids.begin(),
                             request.input_ids.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
                   shown < request.input_ids.size() ? ", ..." : "");
  }
  LogInfo("{}", line);
}

void RequestLog::Finished(std::string_view rid, const FinishReason& reason,
                          int completion_tokens) const {
  const char* kind = reason.kind == FinishReason::Kind::kStop     ? "stop"
                     : reason.kind == FinishReason::Kind::kLength ? "length"
                                                                  : "abort";
  std::string name;
  AppendJsonString(name, rid);
  LogInfo("Finish: rid={} reason={} completion_tokens={}{}", name, kind, completion_tokens,
          reason.status.ok() ? std::string() : " " + Message(reason.status));
}

}  // namespace banyan::serve
