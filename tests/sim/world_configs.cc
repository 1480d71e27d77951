// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <rapidcheck.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <random>
#include <utility>

#include "cache/kinds/kind.h"
#include "sim/sim_configs.h"

namespace banyan::sim {
namespace {

std::string Play(const WorldConfig& config, const Steps& steps) {
  World world(config);
  for (size_t i = 0; i < steps.size(); ++i) {
    if (std::string wrong = world.Step(steps[i]); !wrong.empty()) {
      return fmt::format("step {}: {}", i, wrong);
    }
  }
  return world.Drain();
}

constexpr std::chrono::seconds kShrinkTime{30};
// RapidCheck leaves out every run of every length in turn, which is n^2 / 2 lists for n steps: it
// gets those that are few.
constexpr size_t kFewSteps = 200;

// What one request of any length holds of a layer's kind.
int64_t LeastPages(const WorldConfig& config, const Layer& layer) {
  const bool state = std::any_of(config.layers.begin(), config.layers.end(),
                                 [](const Layer& other) { return other.type == Layer::kState; });
  const Position slack =
      config.prefix_cache
          ? CacheKind::ResumeSlack(config.page_size, state ? config.checkpoint_interval / 2 : 0)
          : 0;
  const CacheGroupSpec spec = {
      .type = layer.type == Layer::kWindow ? CacheKindType::kWindow : CacheKindType::kChunkedLocal,
      .window = layer.window,
      .sinks = layer.sinks};
  return CacheKind::Create(spec, config.page_size, slack)
      ->PagesHeld(config.longest_prompt + config.most_new_tokens, 1);
}

}  // namespace

Steps Shrink(Steps steps, const std::function<bool(const Steps&)>& fails) {
  // Of many steps, runs of half of them, of a quarter and so on.
  for (size_t length = steps.size() / 2; length > 0; length /= 2) {
    for (size_t at = 0; at + length <= steps.size();) {
      Steps fewer = steps;
      fewer.erase(fewer.begin() + at, fewer.begin() + at + length);
      if (fails(fewer)) {
        steps = std::move(fewer);
      } else {
        at += length;
      }
    }
  }
  if (steps.size() > kFewSteps) return steps;
  const auto smaller = [](const Steps& some) {
    return rc::seq::concat(rc::shrink::removeChunks(some),
                           rc::shrink::eachElement(some, [](uint32_t seed) {
                             return seed == 0 ? rc::Seq<uint32_t>() : rc::seq::just(uint32_t{0});
                           }));
  };
  return rc::shrinkable::findLocalMin(rc::shrinkable::shrinkRecur(steps, smaller), fails).first;
}

RunResult RunSeed(const WorldConfig& config, int64_t count, uint32_t seed) {
  std::mt19937 rng(seed);
  Steps steps(count);
  for (uint32_t& step : steps) step = rng();
  World world(config);
  for (int64_t i = 0; i <= count; ++i) {
    const std::string wrong = i < count ? world.Step(steps[i]) : world.Drain();
    if (wrong.empty()) continue;
    steps.resize(std::min(i + 1, count));
    const auto deadline = std::chrono::steady_clock::now() + kShrinkTime;
    const Steps fewest = Shrink(steps, [&](const Steps& fewer) {
      return std::chrono::steady_clock::now() < deadline && !Play(config, fewer).empty();
    });
    return {.wrong = fmt::format("{}\nseed {}, step {}: {}\nfewest steps ({}): {}\nend in: {}",
                                 Describe(config), seed, i, wrong, fewest.size(),
                                 fmt::join(fewest, ","), Play(config, fewest))};
  }
  return {.summary = fmt::format("seed {}: {} steps, {} plans, {} requests ended, {} retractions, "
                                 "{} tokens from the cache, {} late stops, {} pauses, {} refused, "
                                 "{} turns of sessions",
                                 seed, count, world.plans(), world.finished(), world.retractions(),
                                 world.cached_tokens(), world.late_stops(), world.pauses(),
                                 world.refused(), world.turns())};
}

std::vector<WorldConfig> Configurations(uint32_t draw) {
  const Layer full, window{Layer::kWindow, 24, 0}, sinks{Layer::kWindow, 10, 5},
      chunked{Layer::kChunked, 20}, state{Layer::kState};
  const std::vector<std::pair<std::string, std::vector<Layer>>> models = {
      {"Full", {full}},
      {"Window", {window}},
      {"Sinks", {sinks}},
      {"Chunked", {chunked}},
      {"Hybrid", {full, sinks}},
      {"State", {state}},
      {"StateAndFull", {full, state}},
      {"AllKinds", {state, window, full, chunked}}};
  std::vector<WorldConfig> all;
  for (const auto& [model, layers] : models) {
    for (int page_size : {1, 16, 64}) {
      for (int inflight : {1, 2}) {
        std::mt19937 rng(static_cast<uint32_t>(all.size()) + 1000 * draw);
        const auto pick = [&](auto... values) {
          return std::array{values...}[rng() % sizeof...(values)];
        };
        WorldConfig config;
        config.layers = layers;
        config.page_size = page_size;
        config.max_inflight = inflight == 1 ? 1 : pick(2, 2, 3);
        config.chunk = pick(7, 64, -1);
        config.max_running = pick(1, 3, 6, 12);
        config.mixed = pick(1, 1, 1, 0) != 0;
        config.prefix_cache = pick(1, 1, 1, 1, 1, 0) != 0;
        config.errors = pick(0, 0, 1) != 0;
        config.eviction = pick("lru", "lfu", "slru", "fifo", "priority");
        config.conservativeness = pick(0.05, 0.5, 1.0);
        config.longest_prompt = 60 + 2 * page_size;
        config.most_new_tokens = 30 + page_size / 4;
        config.retract_interval = pick(0, 0, 15);
        config.output_delay = pick(0, 10, 50);
        config.policy = pick("fcfs", "fcfs", "lpm", "dfs-weight", "lof", "random", "routing-key");
        const bool ordered = config.policy == "fcfs" || config.policy == "lof";
        config.priorities = ordered && pick(0, 1) != 0;
        config.low_first = pick(0, 1) != 0;
        config.fair_share = config.policy == "fcfs" && pick(0, 1) != 0;
        config.dynamic_chunking = pick(0, 0, 1) != 0;
        config.max_queued = pick(0, 0, 6);
        config.samples = pick(1, 3);
        config.pauses = pick(0, 1, 1) != 0;
        config.max_queued_tokens = pick(0, 0, 300 + 4 * page_size);
        config.sessions = pick(0, 1) != 0;
        config.stalls = pick(0, 1) != 0;
        // From a pool that holds one request and hardly more to one that holds them all.
        const int64_t one = (90 + 3 * page_size) / page_size + 2;
        const int64_t room = pick(1, 1, 2, 4);
        for (const Layer& layer : layers) {
          const bool is_state = layer.type == Layer::kState;
          config.pages.push_back(is_state ? pick(1, 2, 5, 20) : one * room);
        }
        if (const int limit = pick(0, 20, 45); limit > 0) {
          config.rope.limit = limit + page_size / 2;
          config.rope.exact = pick(0, 1) != 0;
          config.rope.recompute = !config.rope.exact && pick(0, 1) != 0;
        }
        config.preemption = pick(1, 1, 1, 0) != 0;
        config.preemption_threshold = pick(10, 10, 0, 30);
        config.prefill_max_requests = pick(0, 0, 0, 1, 2);
        config.max_prefill_tokens = pick(16384, 16384, 16384, 20);
        config.one_priority = pick(0, 0, 1) != 0;
        // What the longest request needs of a window is less than its length.
        if (pick(0, 1) != 0) {
          for (size_t i = 0; i < layers.size(); ++i) {
            if (layers[i].type == Layer::kWindow || layers[i].type == Layer::kChunked) {
              config.pages[i] = LeastPages(config, layers[i]);
            }
          }
        }
        config.name = fmt::format("{}Page{}Inflight{}", model, page_size, inflight);
        all.push_back(config);
      }
    }
  }
  return all;
}

}  // namespace banyan::sim
