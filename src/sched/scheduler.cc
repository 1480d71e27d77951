// SPDX-License-Identifier: Apache-2.0
#include "sched/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/retry_after.h"
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
  if (config.max_queued < 0 || config.max_queued_tokens < 0 || config.prefill_max_requests < 0) {
    return InvalidArgument("max_queued {}, max_queued_tokens {}, prefill_max_requests {}: negative",
                           config.max_queued, config.max_queued_tokens,
                           config.prefill_max_requests);
  }
  QueueOptions queue = {.priorities = config.priority_scheduling, .fair_share = config.fair_share};
  BANYAN_ASSIGN_OR_RETURN(queue.policy, ParseQueuePolicy(config.policy));
  if (config.priority_scheduling && queue.policy != QueuePolicy::kFcfs &&
      queue.policy != QueuePolicy::kLof) {
    return InvalidArgument("priority scheduling goes with schedule policy fcfs or lof, not '{}'",
                           config.policy);
  }
  if (config.fair_share && queue.policy != QueuePolicy::kFcfs) {
    return InvalidArgument("fair shares go with schedule policy fcfs, not '{}'", config.policy);
  }
  // Without a cache there is nothing to be aware of.
  if (config.disable_prefix_cache &&
      (queue.policy == QueuePolicy::kLpm || queue.policy == QueuePolicy::kDfsWeight)) {
    queue.policy = QueuePolicy::kFcfs;
  }
  BANYAN_ASSIGN_OR_RETURN(
      auto cache,
      PrefixCache::Create({.groups = config.groups,
                           .pages_per_group = config.pages_per_group,
                           .page_size = config.page_size,
                           .checkpoint_interval = std::max(config.decode_checkpoint_interval, 1),
                           .eviction_policy = config.eviction_policy,
                           .disabled = config.disable_prefix_cache,
                           .observer = config.cache_observer,
                           .eviction_observer = config.eviction_observer}));
  return std::unique_ptr<Scheduler>(
      std::make_unique<SchedulerImpl>(std::move(config), queue, std::move(cache)));
}

SchedulerImpl::SchedulerImpl(SchedulerConfig config, QueueOptions queue,
                             std::unique_ptr<PrefixCache> cache)
    : config_(std::move(config)),
      cache_(std::move(cache)),
      waiting_(queue, *cache_),
      ratio_(config_.schedule_conservativeness) {
  for (RowId row = config_.max_running; row > 0; --row) free_rows_.push_back(row - 1);
}

SchedulerImpl::~SchedulerImpl() = default;

SchedulerOutput SchedulerImpl::Step(SchedulerInput input) {
  ++steps_;
  out_ = {};
  now_ = input.now;
  // Most steps tell one token of each row.
  if (!input.outcomes.empty()) out_.events.reserve(running_.size() + 1);
  drain_rate_.Observe(now_, std::exchange(left_queue_, 0), !waiting_.empty() && !paused_);
  for (StepOutcome& outcome : input.outcomes) Commit(std::move(outcome));
  for (Arrival& arrival : input.arrivals) Arrive(std::move(arrival));
  for (const StopAt& stop : input.stops) StopRequest(stop);
  for (RequestId id : input.aborts) {
    if (Request* request = Find(id))
      FinishWithError(*request, Cancelled("the request was aborted"));
  }
  Expire(now_);
  if (input.resume) paused_ = false;
  if (input.pause) Pause(*input.pause);
  if (input.flush_cache) {
    // What waits for the end of a pause holds nothing.
    if (running_.empty() && in_flight_.empty() && (waiting_.empty() || paused_)) {
      cache_->Flush();
      out_.flushed = OkStatus();
    } else {
      out_.flushed = FailedPrecondition("the cache is in use: {} requests run, {} wait",
                                        running_.size(), waiting_.size());
    }
  }
  if (!paused_ && static_cast<int>(in_flight_.size()) < config_.max_inflight) {
    out_.plan = MakePlan();
  }
  return std::exchange(out_, {});
}

void SchedulerImpl::Pause(PauseMode mode) {
  paused_ = true;
  if (mode == PauseMode::kRetract) {
    while (!running_.empty()) Retract(*running_.back());
  } else if (mode == PauseMode::kAbort) {
    std::vector<Request*> all;
    for (const auto& [id, request] : requests_) {
      if (request->state() != RequestState::kFinished) all.push_back(request.get());
    }
    std::sort(all.begin(), all.end(),
              [](const Request* a, const Request* b) { return a->sequence < b->sequence; });
    for (Request* request : all) {
      FinishWithError(*request, Cancelled("the request was aborted: generation is paused"));
    }
  }
}

// Makes the queue short enough for one more, at the cost of those that matter less. As long as all
// that wait came after the last plan, as many as there are free rows take no place in it: they may
// run at once.
Status SchedulerImpl::MakeQueueRoom(const Request& request) {
  int requests = waiting_.num_fresh();
  int64_t tokens = waiting_.fresh_tokens();
  int rows = 0;
  const auto too_many = [&] {
    return config_.max_queued > 0 && requests - rows >= config_.max_queued;
  };
  const auto too_long = [&] {
    return config_.max_queued_tokens > 0 && requests >= rows &&
           tokens + request.prompt_length() > config_.max_queued_tokens;
  };
  const auto untried = [this](const auto& entry) {
    const Request& other = *entry.second;
    return other.arrived_in == steps_ ||
           (!in_flight_.empty() && other.arrival.arrived > in_flight_.back().issued);
  };
  if ((too_many() || too_long()) && !free_rows_.empty() && !paused_ &&
      waiting_.size() == requests &&
      std::all_of(waiting_.fresh().begin(), waiting_.fresh().end(), untried))
    rows = static_cast<int>(free_rows_.size());
  // Nobody is ended for one that is refused all the same, so all are found first.
  std::vector<Request*> victims;
  for (auto last = waiting_.fresh().rbegin();
       last != waiting_.fresh().rend() && (too_many() || too_long()); ++last) {
    Request* const victim = last->second;
    if (!config_.priority_scheduling || victim->queue_rank <= request.queue_rank) {
      return WithRetryAfter(
          too_many() ? ResourceExhausted("The request queue is full ({} requests waiting).",
                                         waiting_.num_fresh())
                     : ResourceExhausted("The request queue is full ({} tokens waiting).",
                                         waiting_.fresh_tokens()),
          drain_rate_.Seconds(waiting_.size()));
    }
    victims.push_back(victim);
    --requests;
    tokens -= victim->prompt_length();
  }
  const int64_t left_queue = left_queue_;
  for (Request* victim : victims) {
    const double seconds = drain_rate_.Seconds(waiting_.size());
    FinishWithError(
        *victim,
        WithRetryAfter(ResourceExhausted("The request is aborted by a higher priority request."),
                       seconds));
  }
  left_queue_ = left_queue;  // the queue gets no shorter: their places are taken
  return OkStatus();
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
  // From here on the higher priority is the better one.
  if (config_.low_priority_first) {
    arrival.priority = static_cast<int>(std::min<int64_t>(-int64_t{arrival.priority}, INT32_MAX));
  }
  Status refusal = Refusal(arrival);
  const RequestId id = arrival.id;
  auto made = config_.make_request ? config_.make_request(std::move(arrival), arrivals_++)
                                   : std::make_unique<Request>(std::move(arrival), arrivals_++);
  Request& request = *made;
  ChooseRope(request, prompt);
  if (config_.priority_scheduling) request.queue_rank = -int64_t{request.arrival.priority};
  if (refusal.ok()) refusal = MakeQueueRoom(request);
  if (!refusal.ok()) {
    EventOf(request).finished = {.kind = FinishReason::Kind::kAbort, .status = std::move(refusal)};
    return;
  }
  BANYAN_CHECK(requests_.emplace(id, std::move(made)).second, "request id {} came twice", id);
  request.arrived_in = steps_;
  waiting_.Enter(&request);
  waiting_.Add(&request);
  if (request.arrival.deadline != TimePoint::max()) {
    deadlines_.emplace(request.arrival.deadline, &request);
  }
  if (request.arrival.queue_deadline != TimePoint::max()) {
    queue_deadlines_.emplace(request.arrival.queue_deadline, &request);
  }
}

void SchedulerImpl::Expire(TimePoint now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    FinishWithError(*deadlines_.begin()->second,
                    DeadlineExceeded("the request did not end before its deadline"));
  }
  while (!queue_deadlines_.empty() && queue_deadlines_.begin()->first <= now) {
    FinishWithError(*queue_deadlines_.begin()->second,
                    Unavailable("the request waited too long in the queue"));
  }
  while (!running_deadlines_.empty() && running_deadlines_.begin()->first <= now) {
    FinishWithError(*running_deadlines_.begin()->second,
                    Unavailable("the request ran longer than the server allows"));
  }
}

Request* SchedulerImpl::Find(RequestId id) {
  const auto found = requests_.find(id);
  if (found == requests_.end() || found->second->state() == RequestState::kFinished) return nullptr;
  return found->second.get();
}

// For a text of `length` tokens. A rope length comes after a byte that no UTF-8 text has, so that
// no namespace from outside reads like another's with a rope length.
void SchedulerImpl::ChooseRope(Request& request, int64_t length) const {
  const std::string& name = request.arrival.cache_namespace;
  request.rope_length = config_.rope_lengths.Of(length);
  request.cache_namespace =
      request.rope_length == 0 ? name : fmt::format("\xFF{}:{}", request.rope_length, name);
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
  stats.paused = paused_;
  stats.queue_seconds = drain_rate_.Seconds(waiting_.size());
  stats.new_token_ratio = ratio_.value();
  stats.routing_keys = waiting_.routing_keys();
  for (const Request* request : running_) {
    stats.running_tokens += static_cast<int64_t>(request->tokens.size());
  }
  stats.tree_tokens = cache_->tree().num_tokens();
  stats.evicted_tokens_total = cache_->evicted_tokens();
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
    BANYAN_RETURN_IF_ERROR(request->lease.CheckNeeds(request->computed));
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
