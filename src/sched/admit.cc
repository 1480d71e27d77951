// SPDX-License-Identifier: Apache-2.0
// Who gets a row: new requests and retracted ones, in the order of the queue.
#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "sched/scheduler_impl.h"

namespace banyan {
namespace {

// After a refusal for want of pages, admission is tried again at least this often: the expected
// outputs shrink step by step.
constexpr PlanNumber kBlockedPlans = 16;
// A request waits for another's prefill if that saves it at least so many tokens (SGLang's in-batch
// rule).
constexpr Position kWorthWaiting = 32;
// How often in a turn a request may turn out to be less of a match than was thought.
constexpr int kMostRematched = 16;

}  // namespace

void SchedulerImpl::BlockAdmission(PlanNumber plans, int64_t rank) {
  blocked_until_ = plans_ + plans;
  blocked_rank_ = rank;
}

void SchedulerImpl::Admit(int64_t below) {
  const auto prefills_full = [this] {
    return chunk_left_ <= 0 || prefill_left_ <= 0 ||
           (config_.prefill_max_requests > 0 &&
            counters_.last_prefill_requests >= config_.prefill_max_requests);
  };
  const auto rows_full = [this] {
    return static_cast<int>(running_.size()) >= config_.max_running;
  };
  if (prefills_full() || rows_full() || freeing() || waiting_.best_rank() >= below) return;
  if (plans_ < blocked_until_ && !running_.empty() && waiting_.best_rank() >= blocked_rank_) return;
  waiting_.BeginTurn();
  std::optional<AdmissionBudget> budget;
  int rematched = 0;
  while (Request* const request = waiting_.First()) {
    if (prefills_full() || rows_full() || request->queue_rank >= below) return;
    // A retracted one whose last token is still on its way.
    if (request->in_flight > 0) return;
    if (!budget) {
      budget.emplace(*cache_, running_, ratio_.value(),
                     std::min<int64_t>(ChunkBudget(0), config_.max_prefill_tokens));
    }
    switch (AdmitOne(*request, *budget, ++rematched > kMostRematched)) {
      case Admission::kRefused:
        return;
      case Admission::kAdmitted:
        budget->Take(*request);
        break;
      case Admission::kFollows:
      case Admission::kAnother:
        break;
    }
  }
}

// Makes room for the request that is first in the queue, at the cost of running ones that matter
// less by more than the threshold. Before anything is planned for them.
void SchedulerImpl::Preempt() {
  if (!config_.priority_scheduling || !config_.priority_preemption || running_.empty()) return;
  Request* const request = waiting_.First();
  const auto outranks = [&](const Request& victim) {
    return victim.queue_rank - request->queue_rank > config_.preemption_threshold;
  };
  if (request == nullptr || request->in_flight > 0 || !outranks(*running_.back()) || freeing())
    return;
  const std::string& name = request->cache_namespace;
  const TreeMatch match =
      cache_->Match(name, std::span(request->tokens).first(request->match_limit()));
  const Position shared = match.resume.position;
  Position common = 0;
  if (FindLeader(*request, shared, &common) != nullptr) return;
  const bool rows_full = static_cast<int>(running_.size()) >= config_.max_running;
  if (rows_full) Retract(*running_.back());

  const AdmissionBudget budget(*cache_, running_, ratio_.value(),
                               std::min<int64_t>(ChunkBudget(0), config_.max_prefill_tokens));
  const auto fits = [&] { return budget.Fits(*request, shared); };
  if (rows_full) {
    // The pages that it had are looked at when they have come back.
    if (!fits()) preempted_until_ = plans_;
    return;
  }
  CacheLease lease;  // what it shares is no room for it
  if (fits()) lease = cache_->Acquire(name, match, request->cache_priority());
  if (fits()) {
    blocked_until_ = 0;  // another was refused
    return;
  }
  // Pages that come back by themselves are counted on once: where rows take as many as they give
  // back, there are always some.
  const bool waited = std::exchange(waited_for_, request->sequence) == request->sequence;
  std::vector<int64_t> missing(cache_->kinds());
  for (KindId kind = 0; kind < cache_->kinds(); ++kind) {
    missing[kind] = budget.Missing(kind, *request, shared) - (waited ? 0 : cache_->fenced(kind));
  }
  const auto enough = [&] {
    return std::all_of(missing.begin(), missing.end(), [](int64_t pages) { return pages <= 0; });
  };
  // The least and newest are at the end. None, when all that it outranks would not do.
  size_t victims = 0;
  while (!enough()) {
    if (victims == running_.size()) break;  // alone it always fits
    const Request& victim = *running_[running_.size() - ++victims];
    if (!outranks(victim)) return;
    for (KindId kind = 0; kind < cache_->kinds(); ++kind) {
      missing[kind] -= budget.Occupied(kind, victim);
    }
  }
  for (size_t i = 0; i < victims; ++i) Retract(*running_.back());
  preempted_until_ = plans_;
}

// The running request that computes the longest part of this one's prompt beyond what the tree has.
// Compares with each that is still prefilling: a chunk's budget leaves few of those.
Request* SchedulerImpl::FindLeader(const Request& request, Position matched,
                                   Position* common) const {
  Request* leader = nullptr;
  const Position limit = request.match_limit();
  Position best = matched + std::max<Position>(kWorthWaiting, config_.page_size) - 1;
  for (Request* other : running_) {
    // One that matters less may stand still for long.
    if (other->computed >= other->fill || config_.disable_prefix_cache ||
        other->queue_rank > request.queue_rank ||
        other->cache_namespace != request.cache_namespace) {
      continue;
    }
    const Position end = std::min(limit, other->fill);
    if (end <= best) continue;
    const auto a = request.tokens.begin();
    const auto b = other->tokens.begin();
    // What lies before it is in the tree, and the same for all that share it.
    if (!std::equal(a + matched, a + best + 1, b + matched) || !std::equal(a, a + matched, b)) {
      continue;
    }
    best = std::mismatch(a + best + 1, a + end, b + best + 1).first - a;
    leader = other;
  }
  *common = best;
  return leader;
}

// Gives the request a row and its first chunk, or sets it aside to wait for another's prefill;
// otherwise it gets nothing.
SchedulerImpl::Admission SchedulerImpl::AdmitOne(Request& request, const AdmissionBudget& budget,
                                                 bool settled) {
  const std::string& name = request.cache_namespace;
  const std::span<const TokenId> tokens = request.tokens;
  const TreeMatch match = cache_->Match(name, tokens.first(request.match_limit()));
  if (waiting_.Rematched(&request, match) && !settled) return Admission::kAnother;
  Position common = 0;
  if (Request* leader = FindLeader(request, match.resume.position, &common)) {
    WantCheckpoint(*leader, common);
    waiting_.Follow(&request, leader);
    return Admission::kFollows;
  }
  const Position shared = match.resume.position;
  const auto rest = static_cast<int64_t>(tokens.size()) - shared;
  // The first of a step may be longer than the limit; it could never run otherwise.
  if (rest > prefill_left_ && counters_.last_prefill_requests > 0) return Admission::kRefused;
  // Alone it always fits (Refusal): what is missing then is on its way back.
  const auto fits = [&] { return running_.empty() || budget.Fits(request, shared); };
  CacheLease lease;
  CacheMiss miss = CacheMiss::kNone;
  // Asked before as well, so that a refusal does not touch the order of eviction.
  if (fits()) {
    if (!request.admitted_before) {
      miss = cache_->Explain(name, tokens.first(request.match_limit()), match);
    }
    lease = cache_->Acquire(name, match, request.cache_priority());
    if (lease.Reservable(shared + 1) <= shared && WindowsHaveNot(1)) lease.Tighten(shared);
  }
  if (!lease.held() || !fits() || lease.Reservable(shared + 1) <= shared) {
    BlockAdmission(kBlockedPlans, request.queue_rank);
    ++counters_.exhausted_total;
    return Admission::kRefused;
  }
  OpenRow(request, std::move(lease), match.deepest.position, miss);
  BANYAN_CHECK(PlanChunk(request), "request {} was admitted without a chunk", request.id());
  return Admission::kAdmitted;
}

// `known`: the tokens that are in the tree, with or without all entries.
void SchedulerImpl::OpenRow(Request& request, CacheLease lease, Position known, CacheMiss miss) {
  const std::vector<TokenId>& tokens = request.tokens;
  const Position shared = lease.shared();
  waiting_.Admit(&request, request.tokens.size() - shared + ExpectedOutputs(request));
  // What never waited says nothing about how long one waits, nor does what waits once more.
  left_queue_ += !request.admitted_before && request.arrived_in != steps_;
  queue_deadlines_.erase({request.arrival.queue_deadline, &request});
  request.Transition(RequestTransition::kAdmit);
  request.lease = std::move(lease);
  request.row = free_rows_.back();
  free_rows_.pop_back();
  request.computed = request.planned = shared;
  request.fill = static_cast<Position>(tokens.size());
  request.logprobs_planned = request.next_prompt_logprob();
  request.checkpoints.clear();
  // Another prompt parted from this one at `known`: perhaps more will. The end of the prompt is for
  // those that repeat it, whose last token has to be computed, and for those that go on from it.
  WantCheckpoint(request, known);
  WantCheckpoint(request, request.fill - 1);
  for (int32_t hint : request.arrival.checkpoints) WantCheckpoint(request, hint);
  running_.insert(std::upper_bound(running_.begin(), running_.end(), &request,
                                   [](const Request* a, const Request* b) {
                                     return std::tie(a->queue_rank, a->sequence) <
                                            std::tie(b->queue_rank, b->sequence);
                                   }),
                  &request);
  for (KindId kind = 0; kind < cache_->kinds(); ++kind) {
    const std::span<const PageId> pages = request.lease.pages(kind);
    for (size_t i = 0; i < pages.size(); ++i) {
      if (pages[i] == kNoPage) continue;
      request.page_changes.push_back({kind, static_cast<int32_t>(i), pages[i]});
    }
  }
  plan_.opened.push_back({.row = request.row,
                          .request = request.id(),
                          .length = static_cast<int32_t>(shared),
                          .rope_length = request.rope_length,
                          .generated = {tokens.begin() + request.prompt_length(), tokens.end()},
                          .sampling = request.arrival.sampling,
                          .logprobs = request.arrival.logprobs,
                          .seed = request.arrival.seed,
                          .end_ids = request.arrival.end_ids});
  counters_.last_cached_tokens += static_cast<int>(shared);
  request.shared_at_admission = shared;
  request.OnAdmitted(shared);
  if (request.admitted_before) return;
  request.admitted_before = true;
  if (request.arrival.running_limit != TimePoint::duration::max()) {
    request.running_deadline = now_ + request.arrival.running_limit;
    running_deadlines_.emplace(request.running_deadline, &request);
  }
  RequestEvent& event = EventOf(request);
  event.admitted = true;
  event.cached_tokens = static_cast<int32_t>(shared);
  event.cache_miss = miss;
  counters_.cached_tokens_total += shared;
  counters_.prompt_tokens_total += request.prompt_length();
}

}  // namespace banyan
