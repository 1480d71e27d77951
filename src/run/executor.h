// SPDX-License-Identifier: Apache-2.0
// Executor: the thread that feeds one StepRunner. Plans go in, outcomes come out, both in order;
// the caller keeps one plan or two waiting, so that the next step is there when one ends.
//
// Whatever the runner throws becomes the error of that step: the thread never dies of it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/queue.h"
#include "run/step_runner.h"
#include "sched/request.h"

namespace banyan {

class Executor {
 public:
  // `on_outcome` is called on the executor's thread.
  Executor(std::unique_ptr<StepRunner> runner, std::function<void(StepOutcome)> on_outcome);
  ~Executor();  // waits for the plan that runs; those that wait are dropped

  // Does not wait: the scheduler bounds the plans in flight.
  void Submit(StepPlan plan);

  // The plan that runs now.
  struct Activity {
    PlanNumber plan = 0;
    TimePoint since;
    std::string stage;
  };
  std::optional<Activity> activity() const;
  int64_t scratch_bytes() const { return runner_->scratch_bytes(); }

 private:
  void Loop();
  StepOutcome ExecuteSafely(const StepPlan& plan);

  std::unique_ptr<StepRunner> runner_;
  std::function<void(StepOutcome)> on_outcome_;
  Queue<StepPlan> plans_;
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  std::optional<Activity> activity_;
  std::thread thread_;
};

}  // namespace banyan
