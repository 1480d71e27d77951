// SPDX-License-Identifier: Apache-2.0
// The next plan: a token for every running row, then chunks of prompts that are on their way, then
// new requests (admit.cc), as far as the budgets go.
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

// Where prompts and outputs are not mixed, rows that decode are passed over so often at most.
constexpr int kMostPrefillsInARow = 8;

}  // namespace

std::optional<StepPlan> SchedulerImpl::MakePlan() {
  if (waiting_.empty() && running_.empty()) {
    ratio_.Reset();
    return std::nullopt;
  }
  plan_ = {};
  record_ = {};
  plan_.spans.reserve(running_.size() + 1);
  record_.entries.reserve(running_.size() + 1);
  if (config_.retract_interval > 0 && (plans_ + 1) % config_.retract_interval == 0) RetractOne();
  RetractOutgrown();
  Preempt();
  size_t rows = running_.size();
  PlanSpans();
  // Every row waits for pages that only other rows hold.
  while (plan_.spans.empty() && in_flight_.empty() && !running_.empty()) {
    // Those that were just put back may have left enough.
    if (running_.size() == rows && !RetractOne()) {
      FinishWithError(*running_.front(),
                      Internal("no step fits in the cache ({})", cache_->Describe()));
    }
    rows = running_.size();
    PlanSpans();
  }
  if (plan_.spans.empty()) return std::nullopt;
  plan_.closed = std::exchange(closing_, {});
  record_.tokens = plan_.total_tokens;
  record_.issued = now_;
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
    if (prefills_in_a_row_ >= kMostPrefillsInARow) PlanDecodes();
    if (plan_.spans.empty()) PlanPrefills();
    if (plan_.spans.empty()) PlanDecodes();
    prefills_in_a_row_ = counters_.last_decode_rows > 0 ? 0 : prefills_in_a_row_ + 1;
    prefills_in_a_row_ = std::min(prefills_in_a_row_, kMostPrefillsInARow);
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
    if (!short_of_pages) return enough;
    if (WindowsHaveNot(rows) && Tighten()) continue;
    if (!RetractOne()) return enough;
    enough = false;
  }
}

// Whether a kind whose pages are given back behind what a query sees has fewer free than that.
bool SchedulerImpl::WindowsHaveNot(int64_t pages) const {
  for (KindId kind = 0; kind < cache_->kinds(); ++kind) {
    const CacheKind& rule = cache_->kind(kind);
    if (rule.paged() && rule.may_have_gaps() && cache_->Available(kind) < pages) return true;
  }
  return false;
}

// Rows let go of what they hold only because it is in a node with what they read. False when there
// is no such thing.
bool SchedulerImpl::Tighten() {
  bool any = false;
  for (Request* request : running_) any |= request->lease.Tighten(request->computed);
  return any;
}

// The victim has the worst priority, of these made the fewest outputs, then has the longest prompt,
// then came last: little is lost and much comes free. Never the one that arrived first of the best
// priority: it runs to its end, then the next is the first, so everyone comes to an end.
bool SchedulerImpl::RetractOne() {
  if (running_.size() < 2) return false;
  const auto key = [](const Request* r) {
    return std::tuple(-r->queue_rank, r->outputs(), -r->prompt_length(), ~r->sequence);
  };
  Retract(**std::min_element(running_.begin() + 1, running_.end(),
                             [&](const Request* a, const Request* b) { return key(a) < key(b); }));
  ++counters_.exhausted_total;
  // Not to be given away again at once.
  BlockAdmission(2, std::numeric_limits<int64_t>::min());
  return true;
}

// Where a text that grows beyond the rope's limit is computed anew, the first position beyond it is
// never planned in the part of the cache that is for shorter ones.
void SchedulerImpl::RetractOutgrown() {
  if (!config_.rope_lengths.recompute) return;
  std::vector<Request*> outgrown;
  for (Request* request : running_) {
    if (request->rope_length == 0 && request->planned >= config_.rope_lengths.limit &&
        !request->planned_to_end()) {
      outgrown.push_back(request);
    }
  }
  for (Request* request : outgrown) Retract(*request);
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
  for (size_t i = 0; i < running_.size(); ++i) {
    Request* const request = running_[i];
    if (!request->prefilling()) continue;
    // Those that matter more do not wait for the end of a long prompt.
    if (config_.priority_scheduling && !waiting_.empty()) {
      Admit(request->queue_rank);
      while (running_[i] != request) ++i;
    }
    PlanChunk(*request);
  }
  if (!waiting_.empty()) Admit(std::numeric_limits<int64_t>::max());
}

// The next chunk of a prompt, as long as the budgets and the free pages allow. False when that is
// nothing.
bool SchedulerImpl::PlanChunk(Request& request) {
  const int64_t rest = request.fill - request.planned;
  int64_t length = rest, chunk = chunk_left_;
  if (config_.chunked_prefill_size > 0) {
    if (chunk_left_ <= 0 || prefill_left_ <= 0) return false;
    if (config_.dynamic_chunking) chunk = step_time_.Chunk(request.planned, chunk_left_);
    length = std::min({rest, chunk, prefill_left_});
  }
  Position reach = request.lease.Reservable(request.planned + length);
  if (reach <= request.planned && WindowsHaveNot(1) && Tighten()) {
    reach = request.lease.Reservable(request.planned + length);
  }
  length = reach - request.planned;
  if (length <= 0) return false;
  if (length < rest) {
    // Whole pages, so that others can share them at once.
    const Position aligned =
        (request.planned + length) / config_.page_size * config_.page_size - request.planned;
    if (aligned > 0) length = aligned;
  }
  BANYAN_CHECK(request.lease.Reserve(request.planned + length, &request.page_changes));
  // In the time of tokens at the beginning of a prompt.
  chunk_left_ -= chunk == chunk_left_ ? length : (length * chunk_left_ + chunk - 1) / chunk;
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
  record_.pairs += StepTime::Pairs(static_cast<double>(request.planned), num_tokens);
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
