// SPDX-License-Identifier: Apache-2.0
// An open-loop load: requests that are sent when they are due, whether or not earlier ones have
// ended, to an engine in this process or to a server over HTTP.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/commands/bench/options.h"

namespace banyan::bench {

struct LoadRequest {
  double at = 0;  // seconds after the start
  int prompt_tokens = 0;
  int output_tokens = 0;
};

struct LoadResult {
  double sent = 0;                  // seconds after the start, as all times here
  std::vector<double> token_times;  // one per token
  double ended = 0;
  Status status;
};

// Where requests go. `on_tokens` and `on_end` are called from threads of its own; `on_end` once.
class LoadTarget {
 public:
  virtual ~LoadTarget() = default;
  virtual void Send(std::vector<TokenId> prompt, int output,
                    std::function<void(int tokens)> on_tokens,
                    std::function<void(Status)> on_end) = 0;
  virtual int vocab_size() const = 0;
};

std::unique_ptr<LoadTarget> EngineTarget(Engine& engine);
// SGLang's /generate with streaming, at "http://host:port". One thread per open request.
std::unique_ptr<LoadTarget> HttpTarget(std::string base_url, std::string api_key, int vocab_size);

// Rows "prompt_tokens,output_tokens" or "TIMESTAMP,ContextTokens,GeneratedTokens" (CSV with a
// header), or objects {timestamp, input_length, output_length} in JSON lines with milliseconds.
// Times start at 0; a file without times has all of them at 0. At most `limit` rows.
StatusOr<std::vector<LoadRequest>> ReadTrace(const std::string& path, int limit);

// Lengths like those of chat logs: log-normal around the means. All at time 0.
std::vector<LoadRequest> MakeRequests(int count, int mean_input, int mean_output, uint64_t seed);

// Arrival times of a Poisson process of `rate` requests a second.
void SpreadPoisson(std::vector<LoadRequest>& requests, double rate, uint64_t seed);

// Sends all of them and waits for their ends. Results in the order of the requests. `tick` is
// called with the time before each is sent.
std::vector<LoadResult> RunLoad(LoadTarget& target, const std::vector<LoadRequest>& requests,
                                uint64_t seed, const std::function<void(double now)>& tick = {});

}  // namespace banyan::bench
