// SPDX-License-Identifier: Apache-2.0
// EngineLoop: the one thread that owns the scheduler, and through it every request. Takes messages,
// steps the scheduler, hands plans to the executor and events to the output thread. Blocks when
// there is nothing to do.
//
// The watchdog is part of it: a step that takes longer than allowed is given up. Its requests end
// with kDeadlineExceeded, the log names them, and what the device does and how much waits; the
// outcome, should it still come, is thrown away.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "base/queue.h"
#include "engine/engine.h"
#include "engine/engine_metrics.h"
#include "engine/kv_events.h"
#include "engine/output.h"
#include "run/executor.h"
#include "sched/scheduler.h"

namespace banyan {

// The samples of one accepted request.
struct Submission {
  std::vector<Arrival> arrivals;
  std::vector<StreamOpened> streams;
};
struct AbortSample {
  RequestId id = 0;
};
struct FlushCacheRequest {
  std::function<void(Status)> done;  // called on the engine's thread
};
struct PauseRequest {
  PauseMode mode = PauseMode::kAbort;
  std::function<void(Status)> done;  // called on the engine's thread, when no step is out any more
};
struct ContinueRequest {
  std::function<void(Status)> done;
};
struct InspectCacheRequest {
  std::function<void(StatusOr<CacheSnapshot>)> done;  // called on the engine's thread
};
struct StopRequest {};  // every request ends, and the loop
using EngineMessage = std::variant<Submission, AbortSample, StopAt, StepOutcome, FlushCacheRequest,
                                   PauseRequest, ContinueRequest, InspectCacheRequest, StopRequest>;

struct EngineLoopOptions {
  int max_inflight = 1;
  double watchdog_timeout = 0;  // seconds; 0: none
  int decode_log_interval = 40;
  int64_t max_total_tokens = 0;
  int page_size = 1;
  int dp_rank = 0;
  KvEventPublisher* kv_events = nullptr;  // borrowed; none: null
  // What its user calls a sample's request, for the log.
  std::function<std::string(RequestId)> name_of;
};

class EngineLoop {
 public:
  EngineLoop(std::unique_ptr<Scheduler> scheduler, std::unique_ptr<StepRunner> runner,
             Output* output, EngineMetrics* metrics, EngineLoopOptions options);
  ~EngineLoop() { Shutdown(); }

  // Ends both threads, after the step that runs. Messages are refused from now on.
  void Shutdown();

  // Any thread. False once stopped: the message is lost.
  bool Post(EngineMessage message) { return inbox_.Push(std::move(message)); }

  // As of the last 50 ms, or exactly when idle. Any thread.
  SchedulerStats stats() const;
  // Over the last decode log interval.
  double generation_throughput() const { return throughput_; }
  int64_t retracted() const { return retracted_; }
  bool healthy() const { return healthy_; }
  int64_t scratch_bytes() const { return scratch_bytes_; }

 private:
  struct Inflight {
    PlanNumber number = 0;
    std::vector<RowId> rows;
    TimePoint since;                       // when it came first in line
    bool prefill = false, decode = false;  // has prompts' tokens, outputs'
  };

  void Run();
  void EndAll(std::vector<EngineMessage>& messages, std::size_t next, Status status);
  void Turn(SchedulerInput input);
  TimePoint WakeTime() const;
  SchedulerInput Collect(std::vector<EngineMessage>& messages, std::size_t& next);
  bool Take(EngineMessage& message, SchedulerInput& input);
  bool TakeOutcome(const StepOutcome& outcome);
  void Submit(StepPlan plan);
  void Watch(SchedulerInput& input);
  void LogStep(const StepPlan& plan);
  void LogExhaustion(const SchedulerStats& stats);
  CacheSnapshot Inspect() const;
  void Publish();

  std::unique_ptr<Scheduler> scheduler_;
  Output* output_;
  EngineMetrics* metrics_;
  const EngineLoopOptions options_;
  Queue<EngineMessage> inbox_;

  // The engine's thread only.
  std::deque<Inflight> inflight_;
  std::set<PlanNumber> given_up_;
  std::vector<RequestId> row_owner_;
  std::vector<StreamOpened> opened_;  // not yet told to the output
  std::vector<std::function<void(Status)>> flushes_;
  std::vector<std::function<void(Status)>> pauses_, continues_;
  std::vector<std::function<void(StatusOr<CacheSnapshot>)>> inspections_;
  bool stopped_ = false;
  TimePoint published_;
  TimePoint exhaustion_logged_;
  int64_t logged_retracted_ = 0, logged_exhausted_ = 0;  // totals as of then
  int64_t generated_ = 0;                                // tokens since the last decode line
  int decode_steps_ = 0;
  TimePoint decode_logged_;
  int64_t retracted_before_ = 0;  // total as of then

  std::atomic<double> throughput_{0};
  std::atomic<int64_t> retracted_{0};
  std::atomic<bool> healthy_{true};
  std::atomic<int64_t> scratch_bytes_{0};
  mutable std::mutex mutex_;
  SchedulerStats stats_;

  std::unique_ptr<Executor> executor_;
  std::thread thread_;
};

}  // namespace banyan
