// SPDX-License-Identifier: Apache-2.0
// StepRunner: what carries out plans on one device. run/runner.h is the real one; others stand in
// for it in benchmarks (run/echo_runner.h) and in tests.
#pragma once

#include <cstdint>
#include <string>

#include "sched/plan.h"

namespace banyan {

class StepRunner {
 public:
  virtual ~StepRunner() = default;

  // Called once on the thread that will call Execute, before it.
  virtual void Begin() {}

  // Plans come in the order of their numbers, one at a time, from one thread. One RowOutcome per
  // span, in the spans' order, unless the outcome's own `error` is set. Failures of a row or of the
  // step are in the outcome.
  virtual StepOutcome Execute(const StepPlan& plan) = 0;

  // What Execute is doing now, for the watchdog: "layer 3 attention". Any thread.
  virtual std::string stage() const { return "step"; }

  // Bytes that it holds beside weights and cache. Any thread.
  virtual int64_t scratch_bytes() const { return 0; }
};

}  // namespace banyan
