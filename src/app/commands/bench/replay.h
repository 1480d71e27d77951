// SPDX-License-Identifier: Apache-2.0
// A trace of requests whose prompts are given as hashes of their blocks, replayed through the real
// scheduler and prefix tree under a simulated clock: how much of the prompts each eviction policy
// finds in caches of several sizes, next to what an offline optimum would.
#pragma once

#include <string>

#include "app/commands/bench/report.h"
#include "base/status.h"

namespace banyan::bench {

struct ReplayOptions {
  std::string path;     // JSON lines {timestamp (ms), input_length, output_length, hash_ids}
  int block = 512;      // tokens that one hash stands for
  int scale = 32;       // so many tokens of the trace are one here
  int limit = 1 << 30;  // requests
};

Status Replay(const ReplayOptions& options, Report& report);

}  // namespace banyan::bench
