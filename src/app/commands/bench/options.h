// SPDX-License-Identifier: Apache-2.0
// What the benchmarks share: their options, an engine to measure, prompts to send it.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"

namespace banyan::bench {

using Clock = std::chrono::steady_clock;

inline double Seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// Processor time of this thread: what one step costs, however busy the machine is otherwise.
double ThreadSeconds();

// `banyan bench NAME`: declares its flags on `app` and returns what runs.
using Declare = std::function<Status()> (*)(CLI::App& app);
std::function<Status()> DeclareCache(CLI::App& app);
std::function<Status()> DeclareDecode(CLI::App& app);
std::function<Status()> DeclareOverload(CLI::App& app);
std::function<Status()> DeclarePrefill(CLI::App& app);
std::function<Status()> DeclareSched(CLI::App& app);
std::function<Status()> DeclareServe(CLI::App& app);
std::function<Status()> DeclareStartup(CLI::App& app);
std::function<Status()> DeclareText(CLI::App& app);

struct EngineOptions {
  EngineConfig config;
  std::string log_level = "warning";
  bool json = false;
};

// --json alone, and with it everything that an engine takes.
void AddJsonFlag(CLI::App& app, bool& json);
void AddEngineOptions(CLI::App& app, EngineOptions& options);

StatusOr<std::unique_ptr<Engine>> StartEngine(const EngineOptions& options,
                                              PhaseSink on_phase = {});

// Ids at random, so that nothing of two prompts is shared.
std::vector<TokenId> RandomPrompt(std::mt19937_64& random, int length, int vocab_size);

// A request for `output` tokens of ids only, greedy, past any end token.
GenerateRequest PlainRequest(std::vector<TokenId> prompt, int output);

// Seconds from submission to the end of one request of one token.
StatusOr<double> PrefillSeconds(Engine& engine, std::vector<TokenId> prompt);

}  // namespace banyan::bench
