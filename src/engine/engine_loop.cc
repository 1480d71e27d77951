// SPDX-License-Identifier: Apache-2.0
#include "engine/engine_loop.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace banyan {
namespace {

using std::chrono::milliseconds;

// How often deadlines and the watchdog are looked at while there are requests, and the figures
// published.
constexpr milliseconds kTick{100};
constexpr milliseconds kPublishInterval{50};
// How often a full cache is told of, at most.
constexpr milliseconds kExhaustionInterval{1000};

TimePoint Now() { return std::chrono::steady_clock::now(); }

double Seconds(TimePoint::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// A caller that throws does not keep the others from hearing it.
template <typename Done>
void TellOfTheEnd(std::vector<Done>& waiting) {
  for (const Done& done : std::exchange(waiting, {})) {
    try {
      if (done) done(Unavailable("the engine has been shut down"));
    } catch (const std::exception& error) {
      LogError("told of the engine's end, a caller failed: {}", error.what());
    }
  }
}

}  // namespace

EngineLoop::EngineLoop(std::unique_ptr<Scheduler> scheduler, std::unique_ptr<StepRunner> runner,
                       Output* output, EngineMetrics* metrics, EngineLoopOptions options)
    : scheduler_(std::move(scheduler)),
      output_(output),
      metrics_(metrics),
      options_(options),
      decode_logged_(Now()),
      stats_(scheduler_->stats()),
      executor_(std::make_unique<Executor>(
          std::move(runner), [this](StepOutcome outcome) { Post(std::move(outcome)); })),
      thread_([this] { Run(); }) {}

void EngineLoop::Shutdown() {
  inbox_.Close();
  if (thread_.joinable()) thread_.join();
  executor_.reset();
}

SchedulerStats EngineLoop::stats() const {
  std::unique_lock lock(mutex_);
  return stats_;
}

void EngineLoop::Run() {
  std::vector<EngineMessage> messages;
  std::size_t next = 0;  // of the messages
  try {
    while (!stopped_ && inbox_.PopAll(messages, WakeTime())) {
      do {
        SchedulerInput input = Collect(messages, next);
        if (stopped_) break;
        Watch(input);
        Turn(std::move(input));
      } while (next < messages.size());
      if (stopped_) break;
      messages.clear();
      next = 0;
    }
    if (stopped_) EndAll(messages, next, Unavailable("the server was stopped"));
  } catch (const std::exception& error) {
    // The scheduler's state cannot be trusted any more.
    LogError("the engine failed and takes no more requests: {}", error.what());
    EndAll(messages, next, Internal("the engine failed: {}", error.what()));
  }
  for (auto* waiting : {&flushes_, &pauses_, &continues_}) TellOfTheEnd(*waiting);
  TellOfTheEnd(inspections_);
}

// Of every request, also those that `messages` from `next` on and the inbox bring, without the
// scheduler and the device.
void EngineLoop::EndAll(std::vector<EngineMessage>& messages, std::size_t next, Status status) {
  healthy_ = false;
  inbox_.Close();
  inbox_.PopAll(messages);
  for (SchedulerInput nobodys; next < messages.size(); ++next) {
    if (!std::holds_alternative<StepOutcome>(messages[next])) Take(messages[next], nobodys);
  }
  output_->Open(std::exchange(opened_, {}));
  output_->EndAll(std::move(status));
}

TimePoint EngineLoop::WakeTime() const {
  return scheduler_->idle() ? TimePoint::max() : Now() + kTick;
}

// What one step of the scheduler takes, from the message `next` on.
SchedulerInput EngineLoop::Collect(std::vector<EngineMessage>& messages, std::size_t& next) {
  SchedulerInput input;
  bool more = true;
  while (more && next < messages.size()) more = Take(messages[next++], input);
  if (!opened_.empty()) output_->Open(std::exchange(opened_, {}));
  return input;
}

// False when what comes after the message must not be seen by the same step: what a pause, its end
// or a flush does depends on what came before.
bool EngineLoop::Take(EngineMessage& message, SchedulerInput& input) {
  if (auto* submission = std::get_if<Submission>(&message)) {
    std::move(submission->streams.begin(), submission->streams.end(), std::back_inserter(opened_));
    std::move(submission->arrivals.begin(), submission->arrivals.end(),
              std::back_inserter(input.arrivals));
  } else if (auto* abort = std::get_if<AbortSample>(&message)) {
    input.aborts.push_back(abort->id);
  } else if (auto* stop = std::get_if<StopAt>(&message)) {
    input.stops.push_back(std::move(*stop));
  } else if (auto* outcome = std::get_if<StepOutcome>(&message)) {
    if (TakeOutcome(*outcome)) input.outcomes.push_back(std::move(*outcome));
  } else if (auto* inspect = std::get_if<InspectCacheRequest>(&message)) {
    inspections_.push_back(std::move(inspect->done));
  } else {
    if (auto* flush = std::get_if<FlushCacheRequest>(&message)) {
      flushes_.push_back(std::move(flush->done));
    } else if (auto* pause = std::get_if<PauseRequest>(&message)) {
      input.pause = pause->mode;
      pauses_.push_back(std::move(pause->done));
    } else if (auto* resume = std::get_if<ContinueRequest>(&message)) {
      input.resume = true;
      continues_.push_back(std::move(resume->done));
    } else if (std::holds_alternative<StopRequest>(message)) {
      stopped_ = true;
    }
    return false;
  }
  return true;
}

// False for the outcome of a step that was given up.
bool EngineLoop::TakeOutcome(const StepOutcome& outcome) {
  if (given_up_.erase(outcome.number) > 0) {
    LogWarning("step {} has come back after it was given up", outcome.number);
    if (given_up_.empty()) healthy_ = true;
    return false;
  }
  BANYAN_CHECK(!inflight_.empty() && inflight_.front().number == outcome.number,
               "outcome of step {} out of order", outcome.number);
  const Inflight& step = inflight_.front();
  metrics_->Computed(step.prefill, step.decode, Seconds(Now() - step.since));
  inflight_.pop_front();
  if (!inflight_.empty()) inflight_.front().since = Now();
  for (const RowOutcome& row : outcome.rows)
    generated_ += static_cast<int64_t>(row.accepted.size());
  if (!outcome.error.ok()) LogError("step {}: {}", outcome.number, Message(outcome.error));
  return true;
}

void EngineLoop::Turn(SchedulerInput input) {
  for (bool more = true; more; input = SchedulerInput()) {
    input.now = Now();
    input.flush_cache = !flushes_.empty();
    SchedulerOutput output = scheduler_->Step(std::move(input));
    if (options_.kv_events != nullptr) options_.kv_events->Publish();
    if (!output.events.empty()) {
      // Whoever asks after the last reply finds it in the figures.
      if (scheduler_->idle()) Publish();
      output_->Tell(std::move(output.events));
    }
    if (output.flushed) {
      for (const auto& done : std::exchange(flushes_, {})) done(*output.flushed);
    }
    more = false;
    if (output.plan) {
      LogStep(*output.plan);
      Submit(*std::move(output.plan));
      more = static_cast<int>(inflight_.size()) < options_.max_inflight;
    }
  }
  for (const auto& done : std::exchange(inspections_, {})) done(Inspect());
  if (scheduler_->idle() || Now() - published_ > kPublishInterval) Publish();
  if (!continues_.empty() || (!pauses_.empty() && inflight_.empty())) {
    Publish();
    for (const auto& done : std::exchange(continues_, {})) done(OkStatus());
    for (const auto& done : std::exchange(pauses_, {})) done(OkStatus());
  }
}

void EngineLoop::Submit(StepPlan plan) {
  for (const RowOpened& opened : plan.opened) {
    if (opened.row >= static_cast<RowId>(row_owner_.size())) row_owner_.resize(opened.row + 1);
    row_owner_[opened.row] = opened.request;
  }
  Inflight entry{.number = plan.number, .since = Now()};
  entry.rows.reserve(plan.spans.size());
  int64_t prefill_tokens = 0, decode_tokens = 0;
  for (const Span& span : plan.spans) {
    entry.rows.push_back(span.row);
    prefill_tokens += static_cast<int64_t>(span.tokens.size());
    decode_tokens += span.tokens.empty() ? 1 : 0;
  }
  entry.prefill = prefill_tokens > 0, entry.decode = decode_tokens > 0;
  metrics_->Computes(prefill_tokens, decode_tokens);
  inflight_.push_back(std::move(entry));
  executor_->Submit(std::move(plan));
}

// Gives up the step that has been first in line for too long.
void EngineLoop::Watch(SchedulerInput& input) {
  if (options_.watchdog_timeout <= 0 || inflight_.empty()) return;
  const double seconds = Seconds(Now() - inflight_.front().since);
  if (seconds < options_.watchdog_timeout) return;
  const Inflight step = std::move(inflight_.front());
  inflight_.pop_front();
  if (!inflight_.empty()) inflight_.front().since = Now();
  std::vector<std::string> requests;
  for (const RowId row : step.rows) {
    if (row >= static_cast<RowId>(row_owner_.size())) continue;
    const RequestId id = row_owner_[row];
    requests.push_back(options_.name_of ? options_.name_of(id) : fmt::format("#{}", id));
  }
  const auto activity = executor_->activity();
  const std::string doing =
      activity ? fmt::format("is in {} of step {}", activity->stage, activity->plan)
               : std::string("is idle");
  const SchedulerStats stats = scheduler_->stats();
  LogError(
      "watchdog: step {} has not ended for {:.1f} s; the device {}; {} steps queued behind it, {} "
      "requests running, {} waiting. Ending its requests: {}",
      step.number, seconds, doing, inflight_.size(), stats.running, stats.waiting,
      fmt::join(requests, ", "));
  healthy_ = false;
  given_up_.insert(step.number);
  StepOutcome outcome;
  outcome.number = step.number;
  outcome.error = DeadlineExceeded("step {} took longer than the watchdog's {} s ({})", step.number,
                                   options_.watchdog_timeout, doing);
  input.outcomes.push_back(std::move(outcome));
}

void EngineLoop::LogStep(const StepPlan& plan) {
  const bool prefill = std::any_of(plan.spans.begin(), plan.spans.end(),
                                   [](const Span& span) { return !span.tokens.empty(); });
  const bool decode = std::any_of(plan.spans.begin(), plan.spans.end(),
                                  [](const Span& span) { return span.tokens.empty(); });
  const bool decode_line = decode && ++decode_steps_ % options_.decode_log_interval == 0;
  if (!prefill && !decode_line) return;
  const SchedulerStats stats = scheduler_->stats();
  const double usage = static_cast<double>(stats.used_tokens) /
                       static_cast<double>(std::max<int64_t>(1, options_.max_total_tokens));
  if (prefill) {
    LogInfo(
        "Prefill batch, #new-seq: {}, #new-token: {}, #cached-token: {}, token usage: {:.2f}, "
        "#running-req: {}, #queue-req: {}",
        stats.last_prefill_requests, stats.last_prefill_tokens, stats.last_cached_tokens, usage,
        stats.running, stats.waiting);
  }
  if (decode_line) {
    const TimePoint now = Now();
    throughput_ = static_cast<double>(generated_) / std::max(1e-9, Seconds(now - decode_logged_));
    decode_logged_ = now;
    generated_ = 0;
    retracted_ = stats.retracted_total - std::exchange(retracted_before_, stats.retracted_total);
    LogInfo(
        "Decode batch, #running-req: {}, #token: {}, token usage: {:.2f}, cuda graph: False, gen "
        "throughput (token/s): {:.2f}, #queue-req: {}",
        stats.running, stats.used_tokens, usage, throughput_.load(), stats.waiting);
  }
}

CacheSnapshot EngineLoop::Inspect() const {
  class Collector final : public TreeObserver {
   public:
    explicit Collector(std::vector<CacheSnapshot::Run>& runs) : runs_(runs) {}
    void OnStored(BlockHash before, bool first, std::span<const TokenId> tokens,
                  std::span<const BlockHash> hashes) override {
      runs_.push_back(
          {before, first, {tokens.begin(), tokens.end()}, {hashes.begin(), hashes.end()}});
    }
    void OnRemoved(std::span<const BlockHash>) override {}
    void OnCleared() override {}

   private:
    std::vector<CacheSnapshot::Run>& runs_;
  };
  CacheSnapshot out = {.dp_rank = options_.dp_rank, .block_size = options_.page_size};
  if (options_.kv_events != nullptr) out.next_sequence = options_.kv_events->next_sequence();
  Collector collector(out.runs);
  scheduler_->VisitCache(collector);
  return out;
}

void EngineLoop::LogExhaustion(const SchedulerStats& stats) {
  const int64_t retracted = stats.retracted_total - logged_retracted_;
  const int64_t times = stats.exhausted_total - logged_exhausted_;
  if (times > 0 && Now() - exhaustion_logged_ >= kExhaustionInterval) {
    LogWarning(
        "the cache was full, or promised to those that run, {} times; {} requests wait again; {}",
        times, retracted, Describe(stats.pools));
    exhaustion_logged_ = Now();
  } else if (!scheduler_->idle()) {
    return;  // told with what comes next
  }
  logged_retracted_ = stats.retracted_total;
  logged_exhausted_ = stats.exhausted_total;
}

void EngineLoop::Publish() {
  SchedulerStats stats = scheduler_->stats();
  LogExhaustion(stats);
  if (scheduler_->idle()) throughput_ = 0, retracted_ = 0;
  metrics_->Update(stats, throughput_, retracted_);
  scratch_bytes_ = executor_->scratch_bytes();
  published_ = Now();
  std::unique_lock lock(mutex_);
  stats_ = std::move(stats);
}

}  // namespace banyan
