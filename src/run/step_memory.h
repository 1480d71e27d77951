// SPDX-License-Identifier: Apache-2.0
// StepMemory: what the largest steps of an engine take beside weights and cache, found without
// computing anything: the model's own pass is run with OpContext::measuring set, in which ops take
// their temporaries and leave. So the figure cannot fall behind the code that it stands for.
//
// An engine reserves it when it starts (engine/memory_plan.h), so that a prompt is admitted into
// memory that is there. What no plan foresaw is the step's error, as any other (run/runner.h).
#pragma once

#include <cstdint>

#include "base/status.h"
#include "nn/model.h"
#include "ops/context.h"

namespace banyan {

// The largest step that a configuration allows.
struct StepShape {
  int64_t tokens = 0;         // of prompts and decoding rows together
  int64_t rows = 1;           // requests in it
  int64_t length = 1;         // positions of one request
  int64_t cached_tokens = 1;  // of all requests
  int64_t logit_rows = 1;     // at a time: a step that wants more runs in parts
  int page_size = 1;
};

struct StepMemory {
  int64_t scratch_bytes = 0;
  int64_t logit_bytes = 0;
  int64_t bytes() const { return scratch_bytes + logit_bytes; }
};

// Takes as much address space as the step would, and gives it back; almost none of it is touched.
// kResourceExhausted where there is not so much. Not while the context runs a step.
StatusOr<StepMemory> MeasureStep(const ops::OpContext& context, nn::Model& model,
                                 const StepShape& shape);

}  // namespace banyan
