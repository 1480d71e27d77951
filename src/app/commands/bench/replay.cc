// SPDX-License-Identifier: Apache-2.0
#include "app/commands/bench/replay.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <unordered_map>

#include "app/commands/bench/options.h"
#include "base/fields.h"
#include "base/json.h"
#include "sched/scheduler.h"

namespace banyan::bench {
namespace {

struct Recorded {
  double at = 0;  // seconds
  int input = 0, output = 0;
  std::vector<int> blocks;
};

StatusOr<std::vector<Recorded>> ReadBlocks(const ReplayOptions& options) {
  std::ifstream file(options.path);
  if (!file) return NotFound("there is no file {}", options.path);
  std::vector<Recorded> out;
  for (std::string line;
       std::getline(file, line) && static_cast<int>(out.size()) < options.limit;) {
    BANYAN_ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(line, options.path));
    Fields fields(object, options.path);
    Recorded& one = out.emplace_back();
    one.at = fields.Required<double>("timestamp") * 1e-3;
    one.input = fields.Required<int>("input_length", {1, 1 << 30});
    one.output = fields.Required<int>("output_length", {0, 1 << 30});
    one.blocks = fields.Required<std::vector<int>>("hash_ids");
    BANYAN_RETURN_IF_ERROR(fields.status());
    if (static_cast<int>(one.blocks.size()) != (one.input + options.block - 1) / options.block) {
      return InvalidArgument("{}: {} hashes of {} tokens", options.path, one.blocks.size(),
                             one.input);
    }
  }
  if (out.empty()) return InvalidArgument("{} holds no request", options.path);
  return out;
}

// The tokens of a block are its number, then counts, so that no two blocks share a page.
std::vector<TokenId> Prompt(const Recorded& one, int tokens_per_block, int scale) {
  std::vector<TokenId> tokens;
  tokens.reserve(one.blocks.size() * tokens_per_block);
  for (const int block : one.blocks) {
    for (int i = 0; i < tokens_per_block; ++i) tokens.push_back(i % 16 == 0 ? block : i);
  }
  tokens.resize(std::max(1, (one.input + scale - 1) / scale));
  return tokens;
}

struct ReplayOutcome {
  double hit_rate = 0;
  double seconds = 0;  // of this machine
  int64_t steps = 0;
};

// The share of all prompt tokens that was found in a cache of `pages`.
StatusOr<ReplayOutcome> Serve(const std::vector<Recorded>& trace, const ReplayOptions& options,
                              const std::string& policy, int page_size, int64_t pages) {
  SchedulerConfig config;
  config.groups = {CacheGroupSpec{.name = "full"}};
  config.pages_per_group = {pages};
  config.page_size = page_size;
  config.max_running = 256;
  config.max_length = pages * page_size;
  config.chunked_prefill_size = std::max(page_size, 8192 / options.scale);
  config.max_prefill_tokens = std::max(page_size, 16384 / options.scale);
  config.eviction_policy = policy;
  config.max_inflight = 2;
  BANYAN_ASSIGN_OR_RETURN(const std::unique_ptr<Scheduler> scheduler, Scheduler::Create(config));
  // A step takes 10 ms, and 10 us for each token of a prompt: a server that keeps up with this
  // trace.
  const double fixed = 10e-3 * options.scale, per_token = 10e-6 * options.scale;
  const auto start = Clock::now();
  ReplayOutcome out;
  double now = trace.front().at;
  size_t next = 0;
  TokenId made = -1;  // outputs are never asked for again
  std::vector<StepPlan> pending;
  while (next < trace.size() || !scheduler->idle()) {
    SchedulerInput input;
    if (scheduler->idle() && next < trace.size()) now = std::max(now, trace[next].at);
    for (; next < trace.size() && trace[next].at <= now; ++next) {
      Arrival& arrival = input.arrivals.emplace_back();
      arrival.id = next + 1;
      arrival.prompt = Prompt(trace[next], options.block / options.scale, options.scale);
      arrival.sampling.max_new_tokens = std::max(1, trace[next].output / options.scale);
    }
    input.now = TimePoint(
        std::chrono::duration_cast<TimePoint::duration>(std::chrono::duration<double>(now)));
    if (!pending.empty()) {
      StepOutcome& outcome = input.outcomes.emplace_back();
      outcome.number = pending.front().number;
      int tokens = 0;
      for (const Span& span : pending.front().spans) {
        RowOutcome& row = outcome.rows.emplace_back();
        row.row = span.row;
        if (span.sample) row.accepted = {made--};
        tokens += static_cast<int>(span.tokens.size());
      }
      now += fixed + per_token * tokens;
      ++out.steps;
      pending.erase(pending.begin());
    }
    SchedulerOutput output = scheduler->Step(std::move(input));
    for (const RequestEvent& event : output.events) {
      if (event.finished && !event.finished->status.ok()) return event.finished->status;
    }
    if (output.plan) pending.push_back(*std::move(output.plan));
  }
  const SchedulerStats stats = scheduler->stats();
  out.hit_rate = static_cast<double>(stats.cached_tokens_total) /
                 static_cast<double>(stats.prompt_tokens_total);
  out.seconds = Seconds(Clock::now() - start);
  return out;
}

// Of blocks: what a cache that knows the future would find, where requests come one after the other
// and hold nothing. Whenever there is too much, what is needed farthest in the future goes; a block
// is never needed later than those behind it.
double Optimum(const std::vector<Recorded>& trace, int64_t capacity) {
  std::unordered_map<int, std::vector<int>> uses;  // block: the requests with it, the last first
  for (int i = static_cast<int>(trace.size()) - 1; i >= 0; --i) {
    for (const int block : trace[i].blocks) uses[block].push_back(i);
  }
  struct Kept {
    int next, depth, block;
    auto operator<=>(const Kept&) const = default;
  };
  std::set<Kept> kept;
  std::unordered_map<int, Kept> found;
  int64_t hits = 0, all = 0;
  for (const Recorded& one : trace) {
    bool prefix = true;
    for (int depth = 0; depth < static_cast<int>(one.blocks.size()); ++depth) {
      const int block = one.blocks[depth];
      const int tokens =
          depth + 1 < static_cast<int>(one.blocks.size()) ? 512 : one.input - 512 * depth;
      const auto old = found.find(block);
      prefix = prefix && old != found.end();
      if (prefix) hits += tokens;
      all += tokens;
      if (old != found.end()) kept.erase(old->second);
      std::vector<int>& left = uses[block];
      left.pop_back();
      const Kept now = {left.empty() ? static_cast<int>(trace.size()) : left.back(), depth, block};
      found[block] = now;
      kept.insert(now);
    }
    while (static_cast<int64_t>(kept.size()) > capacity) {
      found.erase(std::prev(kept.end())->block);
      kept.erase(std::prev(kept.end()));
    }
  }
  return static_cast<double>(hits) / static_cast<double>(all);
}

}  // namespace

Status Replay(const ReplayOptions& options, Report& report) {
  if (options.scale < 1 || options.block % options.scale != 0)
    return InvalidArgument("--scale {} does not divide a block's {} tokens", options.scale,
                           options.block);
  BANYAN_ASSIGN_OR_RETURN(const std::vector<Recorded> trace, ReadBlocks(options));
  std::set<int> distinct;
  int64_t longest = 0;
  for (const Recorded& one : trace) {
    distinct.insert(one.blocks.begin(), one.blocks.end());
    longest = std::max<int64_t>(
        longest, static_cast<int64_t>(one.blocks.size()) + one.output / options.block + 2);
  }
  const auto blocks = static_cast<int64_t>(distinct.size());
  report.Setting("trace",
                 fmt::format("{} requests, {} distinct blocks of {} tokens, 1 token for {}",
                             trace.size(), blocks, options.block, options.scale));
  const int page_size = std::min(16, options.block / options.scale);
  double slowest = 0;
  for (const int percent : {2, 10, 40}) {
    const int64_t capacity = std::max(longest, blocks * percent / 100);
    const double optimum = 100 * Optimum(trace, capacity);
    const int64_t pages = capacity * (options.block / options.scale / page_size);
    for (const char* policy : {"lru", "slru", "lfu", "fifo"}) {
      BANYAN_ASSIGN_OR_RETURN(const ReplayOutcome out,
                              Serve(trace, options, policy, page_size, pages));
      report.Figure(fmt::format("prompt found, cache of {} % of the blocks, {}", percent, policy),
                    100 * out.hit_rate, "%", optimum, "offline optimum");
      slowest = std::max(slowest, out.seconds);
    }
  }
  report.Figure("slowest replay", slowest, "s");
  return OkStatus();
}

}  // namespace banyan::bench
