// SPDX-License-Identifier: Apache-2.0
// How much cache an engine gets: the settings that EngineConfig leaves open, filled in from the
// model, from the memory that was free before its weights were loaded, and from what a step takes.
#pragma once

#include <cstdint>
#include <functional>

#include "base/status.h"
#include "engine/config.h"
#include "nn/model.h"
#include "run/step_memory.h"
#include "sched/scheduler.h"

namespace banyan {

// The memory of steps, to be kept free of cache.
struct StepBudget {
  int64_t left_bytes = 0;  // now that the weights are loaded
  // kResourceExhausted where there is not so much.
  std::function<StatusOr<StepMemory>(const StepShape& shape)> measure;
  // Set: what the largest step of the configuration takes.
  StepMemory memory;
};

// Sets context_length, max_total_tokens, mem_fraction_static, max_running_requests,
// max_queued_requests and chunked_prefill_size where they are open, and makes the scheduler's
// settings of them. With `steps`, also where a step of so many tokens would not fit into what
// mem_fraction_static leaves: prompts are then cut in shorter parts, which is logged.
// kResourceExhausted, with the numbers, when not even one page or the shortest step would fit.
StatusOr<SchedulerConfig> PlanMemory(EngineConfig& config, const nn::ModelInfo& model,
                                     int64_t available_bytes, StepBudget* steps = nullptr);

}  // namespace banyan
