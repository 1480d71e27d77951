// SPDX-License-Identifier: Apache-2.0
#include "run/executor.h"

#include <exception>
#include <new>
#include <utility>

#include "base/check.h"

namespace banyan {

Executor::Executor(std::unique_ptr<StepRunner> runner, std::function<void(StepOutcome)> on_outcome)
    : runner_(std::move(runner)), on_outcome_(std::move(on_outcome)), thread_([this] { Loop(); }) {}

Executor::~Executor() {
  stopping_ = true;
  plans_.Close();
  thread_.join();
}

void Executor::Submit(StepPlan plan) {
  const bool taken = plans_.Push(std::move(plan));
  BANYAN_CHECK(taken, "a plan for an executor that has ended");
}

std::optional<Executor::Activity> Executor::activity() const {
  std::unique_lock lock(mutex_);
  std::optional<Activity> now = activity_;
  if (now) now->stage = runner_->stage();
  return now;
}

void Executor::Loop() {
  runner_->Begin();
  while (std::optional<StepPlan> plan = plans_.Pop()) {
    if (stopping_) return;
    {
      std::unique_lock lock(mutex_);
      activity_ = Activity{plan->number, std::chrono::steady_clock::now(), ""};
    }
    StepOutcome outcome = ExecuteSafely(*plan);
    {
      std::unique_lock lock(mutex_);
      activity_.reset();
    }
    on_outcome_(std::move(outcome));
  }
}

StepOutcome Executor::ExecuteSafely(const StepPlan& plan) {
  StepOutcome failed;
  failed.number = plan.number;
  try {
    return runner_->Execute(plan);
  } catch (const std::bad_alloc&) {
    failed.error = ResourceExhausted("out of memory while running step {}", plan.number);
  } catch (const std::exception& error) {
    failed.error = Internal("step {} failed: {}", plan.number, error.what());
  }
  return failed;
}

}  // namespace banyan
