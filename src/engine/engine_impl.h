// SPDX-License-Identifier: Apache-2.0
// How an Engine is put together from its parts. Engine::Start makes them from a configuration
// (engine/startup.cc); tests bring their own runner.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/admission.h"
#include "engine/engine.h"
#include "engine/engine_loop.h"
#include "engine/engine_metrics.h"
#include "engine/live_names.h"
#include "engine/output.h"
#include "run/step_runner.h"

namespace banyan {

struct EngineParts {
  EngineConfig config;  // with every computed setting filled in
  nn::ModelInfo model;
  SchedulerConfig scheduler;
  std::shared_ptr<void> device;  // what the runner borrows; let go after it
  std::unique_ptr<StepRunner> runner;
  std::shared_ptr<const text::Tokenizer> tokenizer;
  std::shared_ptr<const text::ChatTemplate> chat_template;
  json::object generation_config;
  SamplingParams default_sampling;
  std::vector<TokenId> end_ids;
  int64_t cache_bytes = 0;
  double load_seconds = 0;
  double start_seconds = 0;
  int dp_rank = 0;
  std::shared_ptr<Metrics> metrics;       // of all ranks; null: its own
  std::shared_ptr<LiveNames> live_names;  // likewise
};

// Starts the threads. kInvalidArgument when the scheduler refuses its settings.
StatusOr<std::unique_ptr<Engine>> MakeEngine(EngineParts parts);

}  // namespace banyan
