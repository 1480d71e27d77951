// SPDX-License-Identifier: Apache-2.0
// The next plan: a token for every running row, then chunks of prompts that are on their way, then
// new requests, as far as the budgets go.
#include <algorithm>
#include <limits>
#include <numeric>
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

}  // namespace

std::optional<StepPlan> SchedulerImpl::MakePlan() {
  if (waiting_.empty() && running_.empty()) {
    ratio_.Reset();
    return std::nullopt;
  }
  plan_ = {};
  record_ = {};
  if (config_.retract_interval > 0 && (plans_ + 1) % config_.retract_interval == 0) RetractOne();
  PlanSpans();
  // Every row waits for pages that only other rows hold.
  while (plan_.spans.empty() && in_flight_.empty() && !running_.empty()) {
    if (!RetractOne()) {
      FinishWithError(*running_.front(),
                      Internal("no step fits in the cache ({})", cache_->Describe()));
    }
    PlanSpans();
  }
  if (plan_.spans.empty()) return std::nullopt;
  plan_.closed = std::exchange(closing_, {});
  plan_.number = record_.number = ++plans_;
  cache_->PlanIssued(plans_);
  in_flight_.push_back(std::move(record_));
  return std::move(plan_);
}

void SchedulerImpl::PlanSpans() {
  counters_.last_prefill_requests = counters_.last_prefill_tokens = 0;
  counters_.last_cached_tokens = counters_.last_decode_rows = 0;
  if (config_.mixed_chunk) {
    PlanDecodes();
    PlanPrefills();
  } else {
    PlanPrefills();
    if (plan_.spans.empty()) PlanDecodes();
  }
}

void SchedulerImpl::PlanDecodes() {
  if (!MakeRoomForDecodes()) ratio_.Raise(running_);
  for (Request* request : running_) {
    if (request->prefilling() || request->planned_to_end()) continue;
    // Not enough pages: those that are coming free are waited for.
    if (!request->lease.Reserve(request->planned + 1, &request->page_changes)) continue;
    PlanSpan(*request, 1, true);
    ++counters_.last_decode_rows;
  }
  if (counters_.last_decode_rows > 0) ratio_.Decay();
}

// Retracts until every decoding row can have its next position. False when it had to.
bool SchedulerImpl::MakeRoomForDecodes() {
  bool enough = true;
  while (true) {
    int64_t rows = 0;
    for (const Request* request : running_) {
      if (request->prefilling() || request->planned_to_end()) continue;
      rows += request->planned % config_.page_size == 0;
    }
    bool short_of_pages = false;
    for (KindId kind = 0; kind < cache_->kinds() && rows > 0; ++kind) {
      if (!cache_->kind(kind).paged()) continue;
      const int64_t available = cache_->Available(kind);
      if (rows > available && rows > available + cache_->fenced(kind)) short_of_pages = true;
    }
    if (!short_of_pages || !RetractOne()) return enough;
    enough = false;
  }
}

// The victim has made the fewest outputs, then has the longest prompt, then came last: little is
// lost and much comes free. Never the one that arrived first: it runs to its end, then the next is
// the first, so everyone comes to an end.
bool SchedulerImpl::RetractOne() {
  if (running_.size() < 2) return false;
  const auto key = [](const Request* r) {
    return std::tuple(r->outputs(), -r->prompt_length(), ~r->sequence);
  };
  Retract(**std::min_element(running_.begin() + 1, running_.end(),
                             [&](const Request* a, const Request* b) { return key(a) < key(b); }));
  // Not to be given away again at once.
  blocked_until_ = plans_ + 2;
  return true;
}

int64_t SchedulerImpl::ChunkBudget(int64_t decode_rows) const {
  if (config_.chunked_prefill_size < 0) return std::numeric_limits<int64_t>::max();
  // However many rows decode, prompts go on by a page.
  return std::max<int64_t>(config_.chunked_prefill_size - decode_rows,
                           std::min(config_.chunked_prefill_size, config_.page_size));
}

void SchedulerImpl::PlanPrefills() {
  chunk_left_ = ChunkBudget(counters_.last_decode_rows);
  prefill_left_ = std::max<int64_t>(config_.max_prefill_tokens - counters_.last_decode_rows, 1);
  for (Request* request : running_) {
    if (request->prefilling()) PlanChunk(*request);
  }
  if (!waiting_.empty()) Admit();
}

void SchedulerImpl::Admit() {
  if (plans_ < blocked_until_ && !running_.empty()) return;
  std::optional<AdmissionBudget> budget;
  for (Request* request = waiting_.First(); request != nullptr;) {
    Request* const next = waiting_.After(request);
    if (static_cast<int>(running_.size()) >= config_.max_running) return;
    if (chunk_left_ <= 0 || prefill_left_ <= 0) return;
    // A retracted one whose last token is still on its way.
    if (request->in_flight > 0) return;
    if (!budget) {
      budget.emplace(*cache_, running_, ratio_.value(),
                     std::min<int64_t>(ChunkBudget(0), config_.max_prefill_tokens));
    }
    const Admission admission = AdmitOne(*request, *budget);
    if (admission == Admission::kRefused) return;
    if (admission == Admission::kAdmitted) budget->Take(*request);
    request = next;
  }
}

// The running request that computes the longest part of this one's prompt beyond what the tree has.
Request* SchedulerImpl::FindLeader(const Request& request, Position matched,
                                   Position* common) const {
  Request* leader = nullptr;
  const Position limit = request.match_limit();
  Position best = matched + std::max<Position>(kWorthWaiting, config_.page_size) - 1;
  for (Request* other : running_) {
    if (other->computed >= other->fill || config_.disable_prefix_cache ||
        other->arrival.cache_namespace != request.arrival.cache_namespace) {
      continue;
    }
    const auto& a = request.tokens;
    const auto& b = other->tokens;
    const auto end = a.begin() + std::min(limit, other->fill);
    const Position same = std::mismatch(a.begin(), end, b.begin()).first - a.begin();
    if (same > best) {
      best = same;
      leader = other;
    }
  }
  *common = best;
  return leader;
}

// Gives the request a row and its first chunk, or sets it aside to wait for another's prefill;
// otherwise changes nothing.
SchedulerImpl::Admission SchedulerImpl::AdmitOne(Request& request, const AdmissionBudget& budget) {
  const std::string& name = request.arrival.cache_namespace;
  const std::span<const TokenId> tokens = request.tokens;
  const TreeMatch match = cache_->Match(name, tokens.first(request.match_limit()));
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
  // Asked before as well, so that a refusal does not touch the order of eviction.
  if (fits()) lease = cache_->Acquire(name, match, request.arrival.priority);
  if (!lease.held() || !fits() || lease.Reservable(shared + 1) <= shared) {
    blocked_until_ = plans_ + kBlockedPlans;
    return Admission::kRefused;
  }
  OpenRow(request, std::move(lease), match.deepest.position);
  BANYAN_CHECK(PlanChunk(request), "request {} was admitted without a chunk", request.id());
  return Admission::kAdmitted;
}

// `known`: the tokens that are in the tree, with or without all entries.
void SchedulerImpl::OpenRow(Request& request, CacheLease lease, Position known) {
  const std::vector<TokenId>& tokens = request.tokens;
  const Position shared = lease.shared();
  waiting_.Remove(&request);
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
  running_.insert(std::upper_bound(
                      running_.begin(), running_.end(), &request,
                      [](const Request* a, const Request* b) { return a->sequence < b->sequence; }),
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
                          .generated = {tokens.begin() + request.prompt_length(), tokens.end()},
                          .sampling = request.arrival.sampling,
                          .logprobs = request.arrival.logprobs,
                          .seed = request.arrival.seed,
                          .end_ids = request.arrival.end_ids});
  counters_.last_cached_tokens += static_cast<int>(shared);
  if (request.admitted_before) return;
  request.admitted_before = true;
  RequestEvent& event = EventOf(request);
  event.admitted = true;
  event.cached_tokens = static_cast<int32_t>(shared);
  counters_.cached_tokens_total += shared;
  counters_.prompt_tokens_total += request.prompt_length();
}

// The next chunk of a prompt, as long as the budgets and the free pages allow. False when that is
// nothing.
bool SchedulerImpl::PlanChunk(Request& request) {
  const int64_t rest = request.fill - request.planned;
  int64_t length = rest;
  if (config_.chunked_prefill_size > 0) {
    length = std::min({rest, chunk_left_, std::max<int64_t>(prefill_left_, 1)});
  }
  length = request.lease.Reservable(request.planned + length) - request.planned;
  if (length <= 0) return false;
  if (length < rest) {
    // Whole pages, so that others can share them at once.
    const Position aligned =
        (request.planned + length) / config_.page_size * config_.page_size - request.planned;
    if (aligned > 0) length = aligned;
  }
  BANYAN_CHECK(request.lease.Reserve(request.planned + length, &request.page_changes));
  chunk_left_ -= length;
  prefill_left_ -= length;
  ++counters_.last_prefill_requests;
  counters_.last_prefill_tokens += static_cast<int>(length);
  PlanSpan(request, static_cast<int32_t>(length), length == rest && request.max_new_tokens() > 0);
  return true;
}

void SchedulerImpl::PlanSpan(Request& request, int32_t num_tokens, bool sample) {
  for (const PageChange& change : request.page_changes) {
    plan_.pages.push_back({request.row, change.kind, change.index, change.page});
  }
  request.page_changes.clear();
  for (const auto& [kind, from, to] : request.lease.TakeCopies()) {
    plan_.copies.push_back({kind, from, to});
  }
  Span span = {.row = request.row,
               .num_tokens = num_tokens,
               .length_bound = static_cast<int32_t>(request.planned) + num_tokens,
               .sample = sample};
  if (request.prefilling()) {
    const auto begin = static_cast<int32_t>(request.planned);
    const TokenId* tokens = request.tokens.data();
    span.tokens.assign(tokens + begin, tokens + begin + num_tokens);
    // Position i tells the logprob of token i + 1.
    const int32_t last = std::min(begin + num_tokens, request.prompt_length() - 1);
    if (request.logprobs_planned <= last) {
      span.prompt_logprob_first = request.logprobs_planned - 1 - begin;
      span.prompt_logprob_targets.assign(tokens + request.logprobs_planned, tokens + last + 1);
      request.logprobs_planned = last + 1;
    }
  }
  if (!cache_->state_kinds().empty()) PlanSnapshots(request, span);
  request.planned += num_tokens;
  ++request.in_flight;
  request.sampling_in_flight += sample;
  record_.entries.push_back({&request, num_tokens, sample});
  plan_.total_tokens += num_tokens;
  plan_.spans.push_back(std::move(span));
}

void SchedulerImpl::WantCheckpoint(Request& request, Position position) const {
  position = position / config_.page_size * config_.page_size;
  if (position > request.planned && position < request.fill) {
    request.checkpoints.push_back(position);
  }
}

// State is kept where the request wants it and every so many tokens; of the latter, only the last
// of an output.
void SchedulerImpl::PlanSnapshots(Request& request, Span& span) const {
  const auto every = [this](int interval) {
    return std::lcm<Position>(std::max(interval, 1), config_.page_size);
  };
  const Position begin = request.planned, end = begin + span.num_tokens;
  const bool prefilling = request.prefilling();
  std::vector<Position> positions;
  if (prefilling) {
    for (Position position : request.checkpoints) {
      if (position > begin && position <= end) positions.push_back(position);
    }
  }
  const Position step =
      every(prefilling ? config_.prefill_checkpoint_interval : config_.decode_checkpoint_interval);
  for (Position position = begin / step * step + step; position <= end; position += step) {
    positions.push_back(position);
  }
  std::sort(positions.begin(), positions.end());
  positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
  for (Position position : positions) {
    for (const PageChange& slot : request.lease.Snapshot(position, !prefilling)) {
      span.snapshots.push_back({slot.kind, static_cast<int32_t>(position - begin), slot.page});
    }
  }
}

}  // namespace banyan
