// SPDX-License-Identifier: Apache-2.0
#include "sched/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "sched/scheduler_impl.h"

namespace banyan {

StatusOr<std::unique_ptr<Scheduler>> Scheduler::Create(SchedulerConfig config) {
  if (config.max_running < 1) {
    return InvalidArgument("max_running {} is not positive", config.max_running);
  }
  if (config.max_inflight < 1) {
    return InvalidArgument("max_inflight {} is not positive", config.max_inflight);
  }
  if (config.chunked_prefill_size == 0 || config.chunked_prefill_size < -1) {
    return InvalidArgument("chunked_prefill_size {} is neither positive nor -1",
                           config.chunked_prefill_size);
  }
  if (config.max_prefill_tokens < 1) {
    return InvalidArgument("max_prefill_tokens {} is not positive", config.max_prefill_tokens);
  }
  if (!(config.schedule_conservativeness >= 0)) {
    return InvalidArgument("schedule_conservativeness {} is negative",
                           config.schedule_conservativeness);
  }
  if (config.policy != "fcfs") {
    return InvalidArgument("schedule policy '{}' is not one of fcfs", config.policy);
  }
  BANYAN_ASSIGN_OR_RETURN(auto cache,
                          PrefixCache::Create({.groups = config.groups,
                                               .pages_per_group = config.pages_per_group,
                                               .page_size = config.page_size,
                                               .eviction_policy = config.eviction_policy,
                                               .disabled = config.disable_prefix_cache}));
  return std::unique_ptr<Scheduler>(
      std::make_unique<SchedulerImpl>(std::move(config), std::move(cache)));
}

SchedulerImpl::SchedulerImpl(SchedulerConfig config, std::unique_ptr<PrefixCache> cache)
    : config_(std::move(config)),
      cache_(std::move(cache)),
      ratio_(config_.schedule_conservativeness) {
  for (RowId row = config_.max_running; row > 0; --row) free_rows_.push_back(row - 1);
}

SchedulerImpl::~SchedulerImpl() = default;

SchedulerOutput SchedulerImpl::Step(SchedulerInput input) {
  ++steps_;
  out_ = {};
  for (StepOutcome& outcome : input.outcomes) Commit(std::move(outcome));
  for (Arrival& arrival : input.arrivals) Arrive(std::move(arrival));
  for (const StopAt& stop : input.stops) StopRequest(stop);
  for (RequestId id : input.aborts) {
    if (Request* request = Find(id))
      FinishWithError(*request, Cancelled("the request was aborted"));
  }
  Expire(input.now);
  if (input.flush_cache) {
    if (idle()) {
      cache_->Flush();
      out_.flushed = OkStatus();
    } else {
      out_.flushed = FailedPrecondition("the cache is in use: {} requests run, {} wait",
                                        running_.size(), waiting_.size());
    }
  }
  if (static_cast<int>(in_flight_.size()) < config_.max_inflight) out_.plan = MakePlan();
  return std::exchange(out_, {});
}

Status SchedulerImpl::Refusal(const Arrival& arrival) const {
  const auto prompt = static_cast<int64_t>(arrival.prompt.size());
  if (prompt == 0) return InvalidArgument("the prompt has no tokens");
  if (config_.max_length > 0 && prompt > config_.max_length) {
    return InvalidArgument("the prompt has {} tokens, but only {} fit", prompt, config_.max_length);
  }
  if (arrival.logprobs.enabled && arrival.logprobs.prompt_start > prompt) {
    return InvalidArgument("logprob_start_len {} is beyond the prompt's {} tokens",
                           arrival.logprobs.prompt_start, prompt);
  }
  const int64_t outputs = *arrival.sampling.max_new_tokens;
  if (config_.max_length > 0 && prompt + outputs > config_.max_length) {
    return InvalidArgument("{} prompt tokens and {} new tokens do not fit in {}", prompt, outputs,
                           config_.max_length);
  }
  // The last output is never an input, so it needs no entry.
  const int64_t length = prompt + std::max<int64_t>(outputs - 1, 0);
  for (KindId kind = 0; kind < cache_->kinds(); ++kind) {
    const int64_t pages = cache_->kind(kind).PagesHeld(length, 1);
    if (pages > cache_->capacity(kind)) {
      return InvalidArgument("{} tokens need {} cache pages of {}, of which there are {}", length,
                             pages, config_.groups[kind].name, cache_->capacity(kind));
    }
  }
  return OkStatus();
}

void SchedulerImpl::Arrive(Arrival arrival) {
  const auto prompt = static_cast<int64_t>(arrival.prompt.size());
  if (!arrival.sampling.max_new_tokens.has_value()) {
    arrival.sampling.max_new_tokens =
        static_cast<int>(std::max<int64_t>(config_.max_length - prompt, 0));
  }
  Status refusal = Refusal(arrival);
  const RequestId id = arrival.id;
  auto made = std::make_unique<Request>(std::move(arrival), arrivals_++);
  Request& request = *made;
  BANYAN_CHECK(requests_.emplace(id, std::move(made)).second, "request id {} came twice", id);
  waiting_.Add(&request);
  if (request.arrival.deadline != TimePoint::max()) {
    deadlines_.emplace(request.arrival.deadline, &request);
  }
  if (request.arrival.queue_deadline != TimePoint::max()) {
    queue_deadlines_.emplace(request.arrival.queue_deadline, &request);
  }
  if (!refusal.ok()) FinishWithError(request, std::move(refusal));
}

void SchedulerImpl::Expire(TimePoint now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    FinishWithError(*deadlines_.begin()->second,
                    DeadlineExceeded("the request did not end before its deadline"));
  }
  while (!queue_deadlines_.empty() && queue_deadlines_.begin()->first <= now) {
    FinishWithError(*queue_deadlines_.begin()->second,
                    DeadlineExceeded("the request waited too long in the queue"));
  }
}

Request* SchedulerImpl::Find(RequestId id) {
  const auto found = requests_.find(id);
  if (found == requests_.end() || found->second->state() == RequestState::kFinished) return nullptr;
  return found->second.get();
}

RequestEvent& SchedulerImpl::EventOf(Request& request) {
  if (request.event_step != steps_) {
    request.event_step = steps_;
    request.event_index = out_.events.size();
    out_.events.push_back({.id = request.id()});
  }
  RequestEvent& event = out_.events[request.event_index];
  event.retractions = request.retractions;
  return event;
}

bool SchedulerImpl::idle() const {
  return waiting_.empty() && running_.empty() && in_flight_.empty();
}

SchedulerStats SchedulerImpl::stats() const {
  SchedulerStats stats = counters_;
  stats.running = static_cast<int>(running_.size());
  stats.waiting = waiting_.size();
  stats.waiting_tokens = waiting_.tokens();
  stats.new_token_ratio = ratio_.value();
  for (KindId kind = 0; kind < cache_->kinds(); ++kind) {
    stats.pools.push_back(cache_->usage(kind));
    if (cache_->kind(kind).paged()) {
      stats.used_tokens =
          std::max(stats.used_tokens, stats.pools.back().leased * config_.page_size);
    }
  }
  return stats;
}

Status SchedulerImpl::CheckInvariants() const {
  BANYAN_RETURN_IF_ERROR(cache_->CheckInvariants());
  std::vector<int> rows(config_.max_running);
  for (RowId row : free_rows_) ++rows[row];
  for (const Request* request : running_) {
    if (request->state() != RequestState::kRunning || !request->lease.held()) {
      return Internal("request {} runs without a lease", request->id());
    }
    ++rows[request->row];
    const Position length = static_cast<Position>(request->tokens.size());
    if (request->computed > request->planned ||
        request->planned > length + std::max(request->sampling_in_flight, 0) ||
        request->lease.shared() > request->computed) {
      return Internal("request {}: {} shared, {} computed, {} planned of {} tokens", request->id(),
                      request->lease.shared(), request->computed, request->planned, length);
    }
  }
  for (int owners : rows) {
    if (owners != 1) return Internal("a row has {} owners", owners);
  }
  size_t named = 0;
  for (const auto& [id, request] : requests_) {
    if (request->state() == RequestState::kFinished) {
      if (request->in_flight == 0) return Internal("request {} is not forgotten", id);
      ++named;
    }
  }
  if (named + running_.size() + waiting_.size() != requests_.size()) {
    return Internal("{} requests: {} ended, {} running, {} waiting", requests_.size(), named,
                    running_.size(), waiting_.size());
  }
  return OkStatus();
}

}  // namespace banyan
