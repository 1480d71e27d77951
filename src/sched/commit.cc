// SPDX-License-Identifier: Apache-2.0
// Outcomes of plans, and how a request leaves its row.
#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "sched/scheduler_impl.h"

namespace banyan {

void SchedulerImpl::Commit(StepOutcome outcome) {
  BANYAN_CHECK(!in_flight_.empty() && in_flight_.front().number == outcome.number,
               "outcome of plan {}, which is not the oldest in flight", outcome.number);
  const InFlight record = std::move(in_flight_.front());
  in_flight_.pop_front();
  cache_->PlanEnded(record.number);
  if (config_.dynamic_chunking && outcome.error.ok()) {
    const auto began = std::max(record.issued, last_outcome_);
    step_time_.Observe(record.tokens, record.pairs,
                       std::chrono::duration<double>(now_ - began).count());
  }
  last_outcome_ = now_;
  Status error = std::move(outcome.error);
  if (error.ok() && outcome.rows.size() != record.entries.size()) {
    error =
        Internal("an outcome of {} rows for {} spans", outcome.rows.size(), record.entries.size());
  }
  outcome.rows.resize(record.entries.size());
  for (size_t i = 0; i < record.entries.size(); ++i) {
    CommitRow(record.entries[i], outcome.rows[i], error);
  }
}

void SchedulerImpl::CommitRow(const InFlight::Entry& entry, RowOutcome& row,
                              const Status& step_error) {
  Request& request = *entry.request;
  --request.in_flight;
  request.sampling_in_flight -= entry.sample;
  // What was sampled after the end, or after a stop that was found late, is nobody's.
  if (request.state() == RequestState::kFinished) return Forget(request);
  if (!step_error.ok()) return FinishWithError(request, step_error);
  if (!row.error.ok()) return FinishWithError(request, std::move(row.error));

  const bool running = request.state() == RequestState::kRunning;
  // A retracted request has no entries any more, but what was sampled for it counts.
  if (running) {
    request.computed += entry.num_tokens;
    request.lease.CopiesEnded();
  }
  std::move(row.prompt_logprobs.begin(), row.prompt_logprobs.end(),
            std::back_inserter(request.prompt_logprobs));
  FinishReason reason;
  bool ended = false;
  if (entry.sample) {
    if (row.accepted.empty()) {
      return FinishWithError(request, Internal("a sampling row came back without a token"));
    }
    RequestEvent& event = EventOf(request);
    size_t count = 0;
    while (count < row.accepted.size() && !ended) {
      if (!running) waiting_.TokensAdded(1);
      request.tokens.push_back(row.accepted[count]);
      if (count < row.logprobs.size()) event.logprobs.push_back(std::move(row.logprobs[count]));
      ++count;
      ended = request.EndsAt(request.outputs() - 1, &reason);
    }
    row.accepted.resize(count);
    if (event.tokens.empty()) {
      event.tokens = std::move(row.accepted);
    } else {
      event.tokens.insert(event.tokens.end(), row.accepted.begin(), row.accepted.end());
    }
    if (!request.prompt_logprobs_told) {
      event.prompt_logprobs = request.prompt_logprobs;
      request.prompt_logprobs_told = true;
    }
  } else if (request.max_new_tokens() == 0 && running && request.computed >= request.fill) {
    ended = true;
    reason.kind = FinishReason::Kind::kLength;
  }
  if (ended) return Finish(request, std::move(reason));
  if (!running) return;
  if (request.computed <= request.fill) Publish(request);
  if (request.computed >= request.fill) waiting_.ReleaseFollowers(&request);
  request.lease.Advance(request.computed);
}

void SchedulerImpl::StopRequest(const StopAt& stop) {
  Request* request = Find(stop.id);
  if (request == nullptr || stop.index < 0 || stop.index >= request->outputs()) return;
  const auto length = static_cast<size_t>(request->prompt_length() + stop.index + 1);
  if (request->state() == RequestState::kWaiting) {
    waiting_.TokensAdded(static_cast<int64_t>(length) -
                         static_cast<int64_t>(request->tokens.size()));
  }
  request->tokens.resize(length);
  // Entries beyond the cut are right for tokens that the request does not have.
  request->computed = std::min<Position>(request->computed, static_cast<Position>(length));
  Finish(*request, {.kind = FinishReason::Kind::kStop, .stop_string = stop.stop_string});
}

void SchedulerImpl::FinishWithError(Request& request, Status status) {
  Finish(request, {.kind = FinishReason::Kind::kAbort, .status = std::move(status)});
}

void SchedulerImpl::Finish(Request& request, FinishReason reason) {
  RequestEvent& event = EventOf(request);
  if (!request.prompt_logprobs_told) {
    event.prompt_logprobs = std::move(request.prompt_logprobs);
    request.prompt_logprobs_told = true;
  }
  event.output_length = request.outputs();
  // After a failure nobody knows what the pages hold; of a request that was cancelled or took too
  // long they are good.
  const StatusCode code = reason.status.code();
  const bool sound = reason.kind != FinishReason::Kind::kAbort || code == StatusCode::kCancelled ||
                     code == StatusCode::kDeadlineExceeded || code == StatusCode::kUnavailable;
  request.OnFinished(reason);
  event.finished = std::move(reason);
  deadlines_.erase({request.arrival.deadline, &request});
  queue_deadlines_.erase({request.arrival.queue_deadline, &request});
  running_deadlines_.erase({request.running_deadline, &request});
  if (request.state() == RequestState::kWaiting) {
    waiting_.Remove(&request);
    left_queue_ += !request.admitted_before && request.arrived_in != steps_;
  } else {
    LeaveRow(request, sound);
  }
  request.Transition(RequestTransition::kFinish);
  waiting_.Leave(&request);
  Forget(request);
}

void SchedulerImpl::Forget(Request& request) {
  if (request.in_flight == 0) requests_.erase(request.id());
}

// What it computed goes to the tree, so that it is found again if nobody needed the room after all;
// its outputs stay.
void SchedulerImpl::Retract(Request& request) {
  LeaveRow(request, true);
  request.Transition(RequestTransition::kRetract);
  if (config_.rope_lengths.recompute) {
    // By all that it will go on from.
    ChooseRope(request, static_cast<int64_t>(request.tokens.size()) + request.sampling_in_flight);
  }
  request.computed = request.planned = request.fill = 0;
  ++request.retractions;
  ++counters_.retracted_total;
  counters_.retracted_input_total += request.prompt_length();
  counters_.retracted_output_total += request.outputs();
  EventOf(request);
  request.OnRetracted();
  waiting_.Add(&request);
}

void SchedulerImpl::LeaveRow(Request& request, bool publish) {
  if (publish) {
    if (request.planned == request.computed) request.lease.Settle(request.computed);
    Publish(request);
  }
  waiting_.ReleaseFollowers(&request);
  waiting_.LeftRow(&request, request.planned - request.shared_at_admission);
  request.page_changes.clear();
  cache_->ReleaseAfter(std::move(request.lease));
  closing_.push_back(request.row);
  free_rows_.push_back(request.row);
  request.row = -1;
  running_.erase(std::find(running_.begin(), running_.end(), &request));
  blocked_until_ = 0;
}

void SchedulerImpl::Publish(Request& request) {
  request.lease.Publish(request.tokens, request.computed, request.cache_priority(),
                        &request.page_changes);
}

}  // namespace banyan
