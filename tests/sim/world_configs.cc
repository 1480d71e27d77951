// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <chrono>
#include <random>
#include <utility>

#include "sim/sim_configs.h"

namespace banyan::sim {
namespace {

std::string Play(const WorldConfig& config, const std::vector<uint32_t>& steps) {
  World world(config);
  for (size_t i = 0; i < steps.size(); ++i) {
    if (std::string wrong = world.Step(steps[i]); !wrong.empty()) {
      return fmt::format("step {}: {}", i, wrong);
    }
  }
  return world.Drain();
}

// Leaves out runs of steps, halving their length, as long as something still goes wrong; for at
// most half a minute.
std::vector<uint32_t> Shrink(const WorldConfig& config, std::vector<uint32_t> steps) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (size_t length = steps.size() / 2; length > 0; length /= 2) {
    for (size_t at = 0; at + length <= steps.size();) {
      if (std::chrono::steady_clock::now() > deadline) return steps;
      std::vector<uint32_t> fewer = steps;
      fewer.erase(fewer.begin() + at, fewer.begin() + at + length);
      if (Play(config, fewer).empty()) {
        at += length;
      } else {
        steps = std::move(fewer);
      }
    }
  }
  return steps;
}

}  // namespace

RunResult RunSeed(const WorldConfig& config, int64_t count, uint32_t seed) {
  std::mt19937 rng(seed);
  std::vector<uint32_t> steps(count);
  for (uint32_t& step : steps) step = rng();
  World world(config);
  for (int64_t i = 0; i <= count; ++i) {
    const std::string wrong = i < count ? world.Step(steps[i]) : world.Drain();
    if (wrong.empty()) continue;
    steps.resize(std::min(i + 1, count));
    const std::vector<uint32_t> fewest = Shrink(config, steps);
    return {.wrong = fmt::format("{}\nseed {}, step {}: {}\nfewest steps ({}): {}\nend in: {}",
                                 Describe(config), seed, i, wrong, fewest.size(),
                                 fmt::join(fewest, ","), Play(config, fewest))};
  }
  return {.summary = fmt::format("seed {}: {} steps, {} plans, {} requests ended, {} retractions, "
                                 "{} tokens from the cache, {} late stops",
                                 seed, count, world.plans(), world.finished(), world.retractions(),
                                 world.cached_tokens(), world.late_stops())};
}

std::vector<WorldConfig> Configurations() {
  const Layer full, window{Layer::kWindow, 24, 0}, sinks{Layer::kWindow, 10, 5},
      chunked{Layer::kChunked, 20};
  const std::vector<std::pair<std::string, std::vector<Layer>>> models = {
      {"Full", {full}},       {"Window", {window}},      {"Sinks", {sinks}},
      {"Chunked", {chunked}}, {"Hybrid", {full, sinks}}, {"ThreeKinds", {window, full, chunked}}};
  std::vector<WorldConfig> all;
  int number = 0;
  for (const auto& [model, layers] : models) {
    for (int page_size : {1, 16, 64}) {
      for (int inflight : {1, 2, 3}) {
        WorldConfig config;
        config.layers = layers;
        config.page_size = page_size;
        config.chunk = std::array{7, 64, -1}[number % 3];
        config.max_inflight = inflight;
        config.mixed = number % 5 != 0;
        config.prefix_cache = number % 9 != 8;
        config.errors = number % 4 == 3;
        config.eviction = std::array{"lru", "lfu", "slru", "fifo", "priority"}[number % 5];
        config.conservativeness = std::array{0.05, 0.5, 1.0}[number / 3 % 3];
        config.longest_prompt = 60 + 2 * page_size;
        config.most_new_tokens = 30 + page_size / 4;
        config.retract_interval = number % 4 == 1 ? 15 : 0;
        config.output_delay = number % 2 * 50;
        // From a pool that holds one request and hardly more to one that holds them all.
        const int64_t one = (90 + 3 * page_size) / page_size + 2;
        config.pages.assign(layers.size(), one + one * (number / 2 % 4));
        config.name = fmt::format("{}Page{}Inflight{}", model, page_size, inflight);
        all.push_back(config);
        ++number;
      }
    }
  }
  return all;
}

}  // namespace banyan::sim
