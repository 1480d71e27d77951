// SPDX-License-Identifier: Apache-2.0
// banyan bench cache: the prefix tree at size (match, insert, evict, memory), what the cache costs
// an engine whose prompts share nothing, and what it finds of a recorded trace.
#include <malloc.h>

#include <algorithm>
#include <utility>

#include "app/commands/bench/load.h"
#include "app/commands/bench/replay.h"
#include "app/commands/bench/report.h"
#include "base/log.h"
#include "cache/prefix_cache.h"

namespace banyan::bench {
namespace {

struct CacheOptions {
  int64_t nodes = 1000000;
  int length = 512;
  int page_size = 16;
  int requests = 2000;
  std::string model;  // whose prefill the cache's cost is set against; empty: none
  ReplayOptions replay;
  bool json = false;
};

// Bytes in use, of all that was allocated.
int64_t Allocated() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<int64_t>(info.uordblks + info.hblkhd);
}

// A tree of `nodes` nodes under prompts that share beginnings pairwise, through leases as the
// scheduler does it.
Status Tree(const CacheOptions& options, Report& report) {
  const int64_t prompts = options.nodes * 2 / 3;  // three nodes for two of them
  const int64_t page = options.page_size;
  const int64_t per_prompt = options.length / page * page;
  PrefixCacheConfig config;
  config.groups = {CacheGroupSpec{.name = "full"}};
  config.page_size = options.page_size;
  config.pages_per_group = {prompts * per_prompt / page + 1};
  BANYAN_ASSIGN_OR_RETURN(const std::unique_ptr<PrefixCache> cache, PrefixCache::Create(config));

  // Prompt 2k + 1 shares the first half of prompt 2k: a trunk and two branches.
  const auto prompt = [&](int64_t i) {
    std::mt19937_64 trunk(static_cast<uint64_t>(i / 2)), branch(static_cast<uint64_t>(i) + 1000003);
    std::vector<TokenId> tokens(per_prompt);
    for (int64_t t = 0; t < per_prompt; ++t)
      tokens[t] = static_cast<TokenId>((t < per_prompt / 2 ? trunk() : branch()) % 50000);
    return tokens;
  };
  double inserting = 0, matching = 0;
  const int64_t before = Allocated();
  std::vector<PageChange> changes;
  for (int64_t i = 0; i < prompts; ++i) {
    const std::vector<TokenId> tokens = prompt(i);
    changes.clear();
    const double start = ThreadSeconds();
    CacheLease lease = cache->Acquire("", cache->Match("", tokens), 0);
    if (!lease.Reserve(per_prompt, &changes)) return Internal("the cache is full at {}", i);
    lease.Publish(tokens, per_prompt, 0, &changes);
    lease.Release();
    inserting += (ThreadSeconds() - start);
  }
  const int64_t tokens_in_tree = cache->tree().num_tokens();
  const int64_t nodes = cache->tree().num_nodes();
  changes = {};
  const int64_t memory = Allocated() - before;
  report.Figure("nodes", static_cast<double>(nodes), "");
  report.Figure("insert (match, lease, publish)",
                static_cast<double>(prompts * per_prompt) / inserting * 1e-6, "M tokens/s");

  report.Figure(
      "memory", static_cast<double>(memory) * 1e-6, "MB",
      static_cast<double>((160 + 48) * nodes + 4 * tokens_in_tree + 4 * tokens_in_tree / page) *
          1e-6,
      "160 bytes a node, 48 a kind, 4 a token, 4 a page");

  std::mt19937_64 random(9);
  const int64_t matches = std::min<int64_t>(prompts, 20000);
  for (int64_t i = 0; i < matches; ++i) {
    const std::vector<TokenId> tokens = prompt(static_cast<int64_t>(random() % prompts));
    const double start = ThreadSeconds();
    const TreeMatch match = cache->Match("", tokens);
    matching += (ThreadSeconds() - start);
    if (match.deepest.position != per_prompt) return Internal("a prompt was not found whole");
  }
  report.Figure("match", static_cast<double>(matches * per_prompt) / matching * 1e-6, "M tokens/s");

  // Half of the pages again, all of which must be evicted.
  const int64_t evict = tokens_in_tree / page / 2 * page;
  CacheLease lease = cache->Acquire("", TreeMatch{}, 0);
  changes.clear();
  const double start = ThreadSeconds();
  if (!lease.Reserve(evict, &changes)) return Internal("eviction made too little room");
  report.Figure("evict", static_cast<double>(evict / page) / (ThreadSeconds() - start) * 1e-6,
                "M pages/s");
  return OkStatus();
}

// Prompt tokens a second of the echo engine.
StatusOr<double> EngineRate(const CacheOptions& options, bool disabled) {
  EngineConfig config;
  config.model_path = kEchoModel;
  config.page_size = options.page_size;
  config.disable_radix_cache = disabled;
  config.max_queued_requests = options.requests;
  config.decode_log_interval = 1 << 30;
  BANYAN_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, Engine::Start(config));
  const std::unique_ptr<LoadTarget> target = EngineTarget(*engine);
  const std::vector<LoadRequest> requests(options.requests,
                                          {.prompt_tokens = options.length, .output_tokens = 32});
  const auto start = Clock::now();
  for (const LoadResult& result : RunLoad(*target, requests, 11)) {
    BANYAN_RETURN_IF_ERROR(result.status);
  }
  return options.requests / Seconds(Clock::now() - start);
}

// Seconds that the model takes for a prompt of which nothing is cached.
StatusOr<double> ModelPrefill(const CacheOptions& options) {
  EngineConfig config;
  config.model_path = options.model;
  config.page_size = options.page_size;
  BANYAN_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, Engine::Start(config));
  std::mt19937_64 random(7);
  double best = 1e30;
  for (int i = 0; i < 5; ++i) {
    BANYAN_ASSIGN_OR_RETURN(
        const double seconds,
        PrefillSeconds(*engine, RandomPrompt(random, options.length, engine->model().vocab_size)));
    best = std::min(best, seconds);
  }
  return best;
}

// What the cache costs where it finds nothing: the same requests through an engine without a model,
// with and without it, in turns.
Status Cost(const CacheOptions& options, Report& report) {
  double with = 0, without = 0;
  for (int i = 0; i < 3; ++i) {
    BANYAN_ASSIGN_OR_RETURN(const double on, EngineRate(options, false));
    BANYAN_ASSIGN_OR_RETURN(const double off, EngineRate(options, true));
    with = std::max(with, on);
    without = std::max(without, off);
  }
  report.Figure("host work per request with the cache, nothing found", 1e6 / with, "us");
  report.Figure("without the cache", 1e6 / without, "us");
  if (options.model.empty()) return OkStatus();
  BANYAN_ASSIGN_OR_RETURN(const double prefill, ModelPrefill(options));
  const double cost = 1 / with - 1 / without;
  report.Figure("prefill of the prompt by the model", 1e3 * prefill, "ms");
  report.Figure("the cache's cost", 1e6 * cost, "us");
  report.Figure("of the prefill", 100 * cost / prefill, "%", 0.5, "the most allowed");
  return OkStatus();
}

Status RunCache(const CacheOptions& options) {
  BANYAN_RETURN_IF_ERROR(InitLog("warning"));
  Report report("cache");
  report.Setting("page size", fmt::format("{}", options.page_size));
  report.Setting("prompt", fmt::format("{} tokens", options.length));
  if (!options.replay.path.empty()) {
    BANYAN_RETURN_IF_ERROR(Replay(options.replay, report));
    report.Print(options.json);
    return OkStatus();
  }
  BANYAN_RETURN_IF_ERROR(Tree(options, report));
  BANYAN_RETURN_IF_ERROR(Cost(options, report));
  report.Print(options.json);
  return OkStatus();
}

}  // namespace

std::function<Status()> DeclareCache(CLI::App& app) {
  auto options = std::make_shared<CacheOptions>();
  app.add_option("--nodes", options->nodes, "of the tree, about (1000000)")
      ->check(CLI::Range(2, 100000000));
  app.add_option("--length", options->length, "tokens of a prompt (512)")
      ->check(CLI::Range(2, 1 << 20));
  app.add_option("--page-size", options->page_size, "tokens of a page (16)")
      ->check(CLI::Range(1, 4096));
  app.add_option("--num-requests", options->requests, "through the engine (2000)")
      ->check(CLI::Range(1, 1 << 24));
  app.add_option("--model-path", options->model,
                 "a model whose prefill of a prompt the cache's cost is set against");
  app.add_option("--trace", options->replay.path,
                 "replay this instead: JSON lines {timestamp, input_length, output_length, "
                 "hash_ids}, a hash for 512 tokens");
  app.add_option("--scale", options->replay.scale, "tokens of the trace for one here (32)")
      ->check(CLI::Range(1, 512));
  AddJsonFlag(app, options->json);
  return [options] { return RunCache(*options); };
}

}  // namespace banyan::bench
