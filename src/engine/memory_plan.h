// SPDX-License-Identifier: Apache-2.0
// How much cache an engine gets: the settings that EngineConfig leaves open, filled in from the
// model and from the memory that was free before its weights were loaded.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "engine/config.h"
#include "nn/model.h"
#include "sched/scheduler.h"

namespace banyan {

// Sets context_length, max_total_tokens, mem_fraction_static, max_running_requests,
// max_queued_requests and chunked_prefill_size where they are open, and makes the scheduler's
// settings of them. kResourceExhausted, with the numbers, when not even one page would fit.
StatusOr<SchedulerConfig> PlanMemory(EngineConfig& config, const nn::ModelInfo& model,
                                     int64_t available_bytes);

}  // namespace banyan
