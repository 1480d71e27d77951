// SPDX-License-Identifier: Apache-2.0
#include "sim/world.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <set>
#include <utility>

#include "base/check.h"

namespace banyan::sim {
namespace {

constexpr int kVocabulary = 50;

constexpr std::chrono::milliseconds kStep{10};

// Plans in a row that may give a token to each row, but no row to one that could take any of them:
// pages are on their way back.
constexpr int64_t kMostPassedOver = 8;

int Random(Rng& rng, int below) { return static_cast<int>(rng() % below); }

SchedulerConfig MakeSchedulerConfig(const WorldConfig& config) {
  SchedulerConfig made;
  for (const Layer& layer : config.layers) {
    constexpr CacheKindType kTypes[] = {CacheKindType::kFull, CacheKindType::kWindow,
                                        CacheKindType::kChunkedLocal, CacheKindType::kState};
    made.groups.push_back({.type = kTypes[layer.type],
                           .window = layer.window,
                           .sinks = layer.sinks,
                           .name = fmt::format("kind {}", made.groups.size())});
  }
  made.rope_lengths = {config.rope.limit, config.rope.exact, config.rope.recompute};
  made.pages_per_group = config.pages;
  made.page_size = config.page_size;
  made.max_running = config.max_running;
  made.max_length = config.longest_prompt + config.most_new_tokens;
  made.chunked_prefill_size = config.chunk;
  made.mixed_chunk = config.mixed;
  made.schedule_conservativeness = config.conservativeness;
  made.disable_prefix_cache = !config.prefix_cache;
  made.max_inflight = config.max_inflight;
  made.prefill_checkpoint_interval = config.checkpoint_interval;
  made.decode_checkpoint_interval = config.checkpoint_interval / 2;
  made.retract_interval = config.retract_interval;
  made.policy = config.policy;
  made.priority_scheduling = config.priorities;
  made.low_priority_first = config.low_first;
  made.priority_preemption = config.preemption;
  made.preemption_threshold = config.preemption_threshold;
  made.prefill_max_requests = config.prefill_max_requests;
  made.max_prefill_tokens = config.max_prefill_tokens;
  made.fair_share = config.fair_share;
  made.dynamic_chunking = config.dynamic_chunking;
  made.max_queued = config.max_queued;
  made.max_queued_tokens = config.max_queued_tokens;
  made.eviction_policy = config.eviction;
  return made;
}

}  // namespace

std::string Describe(const WorldConfig& c) {
  std::string text = c.name + ": layers";
  for (size_t i = 0; i < c.layers.size(); ++i) {
    const Layer& layer = c.layers[i];
    text += fmt::format(" {}", std::array{"full", "window", "chunked", "state"}[layer.type]);
    if (layer.window > 0) text += fmt::format("({}+{})", layer.window, layer.sinks);
    text += fmt::format("x{}", c.pages[i]);
  }
  return text +
         fmt::format(
             ", page {}, chunk {}, inflight {}, rows {}, mixed {}, cache {}, {}, {}, "
             "conservativeness {}, prompts {}, outputs {}, retract every {}, delay {}, errors {}, "
             "priorities {} (low first {}, one {}, preemption {} beyond {}), fair {}, dynamic {}, "
             "queue {} of {} tokens, prefills of {} requests, {} tokens, samples "
             "{}, sessions {}, pauses {}, stalls {}, rope beyond {} (exact {}, recompute {})",
             c.page_size, c.chunk, c.max_inflight, c.max_running, c.mixed, c.prefix_cache, c.policy,
             c.eviction, c.conservativeness, c.longest_prompt, c.most_new_tokens,
             c.retract_interval, c.output_delay, c.errors, c.priorities, c.low_first,
             c.one_priority, c.preemption, c.preemption_threshold, c.fair_share, c.dynamic_chunking,
             c.max_queued, c.max_queued_tokens, c.prefill_max_requests, c.max_prefill_tokens,
             c.samples, c.sessions, c.pauses, c.stalls, c.rope.limit, c.rope.exact,
             c.rope.recompute);
}

World::World(WorldConfig config)
    : config_(std::move(config)),
      device_(config_.layers, config_.pages, config_.page_size, kVocabulary, config_.rope),
      conversations_(config_.longest_prompt) {
  auto made = Scheduler::Create(MakeSchedulerConfig(config_));
  BANYAN_CHECK(made.ok(), "{}", Message(made.status()));
  scheduler_ = *std::move(made);
}

// False when it is the turn of a session that refuses it.
bool World::RandomArrival(Rng& rng, Sent* sent, std::vector<RequestId>* aborts) {
  Arrival& arrival = sent->arrival;
  arrival.id = next_id_++;
  // Most prompts go on from an earlier text, whole or cut.
  if (!texts_.empty() && Random(rng, 4) > 0) {
    arrival.prompt = texts_[Random(rng, static_cast<int>(texts_.size()))];
    if (Random(rng, 2) == 0) arrival.prompt.resize(1 + rng() % arrival.prompt.size());
  }
  const int extra = Random(rng, 3) == 0 ? Random(rng, config_.longest_prompt) : Random(rng, 6);
  for (int i = 0; i < extra; ++i) arrival.prompt.push_back(Random(rng, kVocabulary));
  if (arrival.prompt.empty()) arrival.prompt.push_back(Random(rng, kVocabulary));
  if (static_cast<int>(arrival.prompt.size()) > config_.longest_prompt) {
    arrival.prompt.resize(config_.longest_prompt);
  }
  sent->turn = config_.sessions && Random(rng, 2) == 0;
  if (sent->turn && !conversations_.Enter(rng, Now(), &arrival, aborts)) return false;
  arrival.sampling.max_new_tokens = Random(rng, config_.most_new_tokens + 1);
  arrival.sampling.min_new_tokens = Random(rng, 4);
  for (int i = Random(rng, 6) - 4; i > 0; --i) arrival.end_ids.push_back(Random(rng, kVocabulary));
  const int name = std::max(0, Random(rng, 6) - 3);
  arrival.seed = 1000 + name;  // the fake device takes it for the weights
  arrival.cache_namespace = name == 0 ? "" : fmt::format("adapter {}", name);
  if (Random(rng, 6) == 0) {
    arrival.logprobs.enabled = true;
    arrival.logprobs.prompt_start = Random(rng, static_cast<int>(arrival.prompt.size()) + 1);
  }
  if (config_.priorities && (!config_.one_priority || Random(rng, 8) == 0)) {
    arrival.priority = Random(rng, 41) - 20;
  }
  arrival.routing_key = fmt::format("key {}", Random(rng, 3));
  arrival.fair_key = fmt::format("user {}", Random(rng, 10) == 0 ? Random(rng, 3) : 0);
  if (Random(rng, 12) == 0) arrival.queue_deadline = Now() + kStep * (20 + Random(rng, 100));
  if (Random(rng, 24) == 0) arrival.deadline = Now() + kStep * (20 + Random(rng, 200));
  if (Random(rng, 24) == 0) arrival.running_limit = kStep * (5 + Random(rng, 100));
  for (int n = Random(rng, 3); n > 0; --n) arrival.checkpoints.push_back(Random(rng, 60));
  if (Random(rng, 4) == 0) sent->stop = Random(rng, config_.most_new_tokens + 1);
  return true;
}

// Plans that the request takes when it is alone.
int64_t World::Work(int64_t prompt, int outputs) const {
  return 2 + outputs + (prompt + outputs) / std::max(1, std::min(config_.chunk, config_.page_size));
}

// What comes before it may be all that is there. Fair shares let two other users go first for each
// token of its own, or a long one each; a better priority may come later, and take its place; of
// the other policies each lets seven go before the oldest of a priority.
void World::Send(Sent sent, SchedulerInput* input) {
  sent.sent_at = plans_;
  sent.work =
      Work(static_cast<int64_t>(sent.arrival.prompt.size()), *sent.arrival.sampling.max_new_tokens);
  int64_t work = sent.work;
  for (const auto& [id, other] : alive_) work += other.work;
  const bool by_age = config_.policy != "fcfs";
  const int64_t most = Work(config_.longest_prompt, config_.most_new_tokens);
  const auto first = static_cast<int64_t>(alive_.size()) + 1;
  const int64_t passed = by_age ? 7 * first * most : config_.fair_share ? 3 * work + 4 * most : 0;
  sent.bound = plans_ + 4 * (work + passed) + 50;
  sent.opened_bound = by_age && !config_.priorities
                          ? opened_ + 8 * (static_cast<int64_t>(alive_.size()) + 2)
                          : std::numeric_limits<int64_t>::max();
  if (config_.priorities) {
    const auto better = [&](const Arrival& a, const Arrival& b) {
      return config_.low_first ? a.priority < b.priority : a.priority > b.priority;
    };
    for (auto& [id, other] : alive_) {
      if (better(sent.arrival, other.arrival)) other.bound += 4 * (sent.work + other.work);
    }
  }
  input->arrivals.push_back(sent.arrival);
  alive_.emplace(sent.arrival.id, std::move(sent));
}

void World::PauseOrNot(Rng& rng, SchedulerInput* input) {
  if (paused_) {
    input->resume = Random(rng, 10) == 0;
    return;
  }
  if (!config_.pauses || Random(rng, 80) > 0) return;
  input->pause = static_cast<PauseMode>(Random(rng, 3));
  ++pauses_;
  int64_t again = 0;  // prompts that are computed once more
  for (const auto& [id, sent] : alive_) again += sent.work;
  for (auto& [id, sent] : alive_) {
    sent.aborted = sent.aborted || *input->pause == PauseMode::kAbort;
    if (*input->pause == PauseMode::kRetract) sent.bound += 4 * again;
  }
}

std::string World::CheckStarvation() const {
  const int64_t again = 8 * scheduler_->stats().retracted_total;
  for (const auto& [id, sent] : alive_) {
    if (plans_ > sent.bound) {
      return fmt::format("request {} starves: {} plans since it came", id, plans_ - sent.sent_at);
    }
    if (!sent.admitted && opened_ - again > sent.opened_bound) {
      return fmt::format("request {} starves: {} rows are opened, and none for it", id, opened_);
    }
  }
  return "";
}

// While prompts are computed there may be no room in the step for another.
std::string World::CheckPreemption(const StepPlan& plan) {
  bool decodes = plan.opened.empty();
  for (const RowId row : plan.closed) rows_.erase(row);
  for (const RowOpened& opened : plan.opened) rows_[opened.row] = opened.request;
  for (const Span& span : plan.spans) decodes = decodes && span.tokens.empty();
  std::set<RequestId> running;
  int best_running = std::numeric_limits<int>::min(), best_waiting = best_running;
  for (const auto& [row, id] : rows_) running.insert(id);
  for (const auto& [id, sent] : alive_) {
    int& best = running.contains(id) ? best_running : best_waiting;
    best = std::max(best, config_.low_first ? -sent.arrival.priority : sent.arrival.priority);
  }
  const bool passed_over = config_.priorities && config_.preemption && decodes &&
                           int64_t{best_waiting} - best_running > config_.preemption_threshold;
  passed_over_ = passed_over ? passed_over_ + 1 : 0;
  if (passed_over_ <= kMostPassedOver) return "";
  return fmt::format("priority {} waits while the best that runs has {}", best_waiting,
                     best_running);
}

std::string World::Hear(const RequestEvent& event) {
  const auto found = alive_.find(event.id);
  if (found == alive_.end()) return fmt::format("an event of request {}, unknown", event.id);
  Sent& sent = found->second;
  if (sent.end) return fmt::format("request {}: an event after its end", event.id);
  if (event.admitted) sent.admitted_at = Now();
  sent.admitted = sent.admitted || event.admitted;
  sent.told.insert(sent.told.end(), event.tokens.begin(), event.tokens.end());
  sent.prompt_logprobs.insert(sent.prompt_logprobs.end(), event.prompt_logprobs.begin(),
                              event.prompt_logprobs.end());
  if (sent.turn || (!event.tokens.empty() && sent.stop >= 0)) {
    unseen_.push_back({step_, event.id, event.tokens, sent.stop, event.finished});
  }
  if (!event.finished) return "";
  sent.end = event;
  ++finished_;
  refused_ += event.finished->status.code() == StatusCode::kResourceExhausted;
  std::string wrong = Judge(sent);
  if (wrong.empty() && event.output_length <= static_cast<int>(sent.told.size())) {
    std::vector<TokenId> text = sent.arrival.prompt;
    text.insert(text.end(), sent.told.begin(), sent.told.begin() + event.output_length);
    texts_.push_back(std::move(text));
    if (texts_.size() > 12) texts_.pop_front();
  }
  if (!wrong.empty()) return fmt::format("request {}: {}", event.id, wrong);
  alive_.erase(found);
  return "";
}

std::string World::Judge(const Sent& sent) const {
  const Arrival& arrival = sent.arrival;
  const auto kept = static_cast<size_t>(sent.end->output_length);
  if (kept > sent.told.size()) return "more outputs count than were told";
  const std::vector<TokenId> output(sent.told.begin(), sent.told.begin() + kept);
  const std::vector<int> expected = ExpectedOutput(
      config_.layers, arrival.seed, arrival.prompt, kVocabulary, *arrival.sampling.max_new_tokens,
      arrival.sampling.min_new_tokens, arrival.end_ids, -1, config_.rope);
  if (output.size() > expected.size() ||
      !std::equal(output.begin(), output.end(), expected.begin())) {
    return fmt::format("output [{}] instead of [{}]", fmt::join(output, " "),
                       fmt::join(expected, " "));
  }
  const FinishReason& reason = *sent.end->finished;
  if (reason.kind == FinishReason::Kind::kAbort) {
    switch (reason.status.code()) {
      case StatusCode::kResourceExhausted: {
        const bool full =
            (config_.max_queued > 0 && asked_.requests > config_.max_queued) ||
            (config_.max_queued_tokens > 0 && asked_.tokens > config_.max_queued_tokens);
        return full && !sent.admitted ? "" : "refused though the queue is not full";
      }
      case StatusCode::kDeadlineExceeded:
        return arrival.deadline <= Now() ? "" : "ended before its deadline";
      case StatusCode::kUnavailable:
        if (sent.admitted ? arrival.running_limit <= Now() - sent.admitted_at
                          : arrival.queue_deadline <= Now())
          return "";
        return "ended before its limit";
      default:
        return sent.aborted || sent.failed ? "" : "aborted: " + Message(reason.status);
    }
  }
  if (!reason.stop_string.empty()) {
    if (!sent.stop_sent || static_cast<int>(kept) != sent.stop + 1) return "stopped elsewhere";
  } else {
    if (output.size() != expected.size()) return "it ended too early";
    const bool full = static_cast<int>(kept) == *arrival.sampling.max_new_tokens;
    if (full != (reason.kind == FinishReason::Kind::kLength)) return "the wrong finish reason";
  }
  if (arrival.logprobs.wants_prompt(static_cast<int>(arrival.prompt.size()))) {
    const size_t start = arrival.logprobs.prompt_start;
    if (sent.prompt_logprobs.size() != arrival.prompt.size() - start) {
      return fmt::format("{} prompt logprobs from {} of {}", sent.prompt_logprobs.size(), start,
                         arrival.prompt.size());
    }
    for (size_t i = start; i < arrival.prompt.size(); ++i) {
      const TokenLogprob& got = sent.prompt_logprobs[i - start];
      if (got.id != arrival.prompt[i] || got.logprob.has_value() != (i > 0)) {
        return fmt::format("prompt logprob {} is of another token", i);
      }
      if (i == 0) continue;
      const uint64_t h =
          Output(config_.layers, arrival.seed, arrival.prompt, static_cast<int>(i) - 1,
                 config_.rope, static_cast<int>(arrival.prompt.size()));
      if (*got.logprob != static_cast<float>(h % 1000)) {
        return fmt::format("prompt logprob {} is wrong", i);
      }
    }
  } else if (!sent.prompt_logprobs.empty()) {
    return "prompt logprobs that nobody asked for";
  }
  return "";
}

void World::LookAtOutputs(SchedulerInput* input, bool all) {
  // How far behind it is varies: it may fall back and catch up.
  const int64_t delay = config_.output_delay == 0 || all ? 0 : step_ / 7 % config_.output_delay;
  while (!unseen_.empty() && unseen_.front().at + delay <= step_) {
    const Seen seen = std::move(unseen_.front());
    unseen_.pop_front();
    conversations_.See(seen.id, seen.tokens, seen.stop, seen.finished, Now());
    const auto found = alive_.find(seen.id);
    if (found == alive_.end()) continue;  // told to have ended: the output thread cuts by itself
    Sent& sent = found->second;
    sent.looked += static_cast<int>(seen.tokens.size());
    if (sent.stop < 0 || sent.stop_sent || sent.looked <= sent.stop) continue;
    sent.stop_sent = true;
    if (static_cast<int>(sent.told.size()) > sent.stop + 1) ++late_stops_;
    input->stops.push_back({seen.id, sent.stop, "stop"});
  }
}

void World::InjectErrors(Rng& rng, StepOutcome* outcome) {
  if (!config_.errors || Random(rng, 20) > 0) return;
  const bool whole = Random(rng, 4) == 0;
  for (auto& [id, sent] : alive_) sent.failed = true;  // any of them may be in this plan
  if (whole) outcome->error = Internal("the step failed");
  if (!outcome->rows.empty()) {
    outcome->rows[Random(rng, static_cast<int>(outcome->rows.size()))].error =
        Internal("the row failed");
  }
}

// Bursts and lulls, so that queues grow and drain.
void World::Arrivals(Rng& rng, SchedulerInput* input) {
  const int busy = step_ / 100 % 3 == 0 ? 8 : 3;
  for (int n = Random(rng, 16) < busy ? 1 + Random(rng, 2) : 0; n > 0 && alive_.size() < 40; --n) {
    Sent sent;
    std::vector<RequestId> replaced;
    if (!RandomArrival(rng, &sent, &replaced)) continue;
    for (int more = sent.turn ? 0 : Random(rng, config_.samples); more > 0; --more) {
      Sent sample = sent;
      sample.arrival.id = next_id_++;
      sample.arrival.sampling.max_new_tokens = Random(rng, config_.most_new_tokens + 1);
      Send(std::move(sample), input);
    }
    Send(std::move(sent), input);
    Aborts(replaced, input);
  }
}

// Some of them may have ended already, as far as the scheduler knows.
void World::Aborts(const std::vector<RequestId>& ids, SchedulerInput* input) {
  for (const RequestId id : ids) {
    if (const auto found = alive_.find(id); found != alive_.end()) found->second.aborted = true;
    input->aborts.push_back(id);
  }
}

// Plans run in order; each turn some of those that are late are done. The device may stand still
// for many turns, before a plan or before it tells what came of it.
void World::RunDevice(Rng& rng, bool quiet, SchedulerInput* input) {
  if (config_.stalls && !quiet && step_ >= stalled_until_ && Random(rng, 40) == 0) {
    stalled_until_ = step_ + Random(rng, 30);
  }
  if (!quiet && step_ < stalled_until_) return;
  while (device_.queued() && (quiet || Random(rng, 2) == 0)) outcomes_.push_back(device_.Run());
  while (!outcomes_.empty() && (quiet || Random(rng, 2) == 0)) {
    InjectErrors(rng, &outcomes_.front());
    device_.Ended(outcomes_.front().number);
    input->outcomes.push_back(std::move(outcomes_.front()));
    outcomes_.pop_front();
  }
}

World::Fresh World::CountFresh() const {
  Fresh fresh;
  for (const auto& [id, sent] : alive_) {
    if (sent.admitted) continue;
    ++fresh.requests;
    fresh.tokens += static_cast<int64_t>(sent.arrival.prompt.size());
  }
  return fresh;
}

// A prompt longer than the queue may wait alone, and what has found free rows, until it has run.
std::string World::CheckQueue() const {
  const Fresh fresh = CountFresh();
  if ((config_.max_queued > 0 && fresh.requests > config_.max_queued + config_.max_running) ||
      (config_.max_queued_tokens > 0 && fresh.tokens > config_.max_queued_tokens &&
       fresh.requests > config_.max_running)) {
    return fmt::format("{} requests of {} tokens wait", fresh.requests, fresh.tokens);
  }
  return "";
}

std::string World::Step(uint32_t seed) {
  ++step_;
  Rng rng(seed);
  SchedulerInput input;
  const bool quiet = seed == 0;
  if (!quiet) {
    Arrivals(rng, &input);
    if (Random(rng, 25) == 0 && !alive_.empty()) {
      Aborts({std::next(alive_.begin(), Random(rng, static_cast<int>(alive_.size())))->first},
             &input);
    }
    if (config_.sessions && Random(rng, 60) == 0) {
      std::vector<RequestId> running;
      conversations_.Close(rng, &running);
      Aborts(running, &input);
    }
    input.flush_cache = Random(rng, 50) == 0;
    PauseOrNot(rng, &input);
  }
  input.resume = input.resume || (quiet && paused_);
  input.now = Now();
  RunDevice(rng, quiet, &input);
  LookAtOutputs(&input, quiet);
  asked_ = CountFresh();

  const bool was_idle = scheduler_->idle() && input.arrivals.empty();
  const bool asked_flush = input.flush_cache;
  if (input.pause) paused_ = true;
  if (input.resume) paused_ = false;
  const bool retracted = input.pause == PauseMode::kRetract;
  SchedulerOutput output = scheduler_->Step(std::move(input));
  if (asked_flush != output.flushed.has_value()) return "flush_cache without an answer";
  if (asked_flush && was_idle && !output.flushed->ok()) return "flush_cache refused when idle";
  for (const RequestEvent& event : output.events) {
    if (std::string wrong = Hear(event); !wrong.empty()) return wrong;
  }
  if (paused_ && output.plan) return "a plan while generation is paused";
  if (retracted && scheduler_->stats().running > 0) return "a row after all were retracted";
  if (output.plan) {
    ++plans_;
    opened_ += static_cast<int64_t>(output.plan->opened.size());
    if (std::string wrong = CheckPreemption(*output.plan); !wrong.empty()) return wrong;
    device_.Issue(*std::move(output.plan));
  }
  if (!device_.failure().empty()) return device_.failure();
  if (!conversations_.failure().empty()) return conversations_.failure();
  const Status invariants = scheduler_->CheckInvariants();
  if (!invariants.ok()) return Message(invariants);
  if (std::string wrong = CheckQueue(); !wrong.empty()) return wrong;
  return CheckStarvation();
}

std::string World::Drain() {
  for (int i = 0; i < 20000 && !(alive_.empty() && scheduler_->idle()); ++i) {
    if (std::string wrong = Step(0); !wrong.empty()) return wrong;
  }
  if (!alive_.empty()) return fmt::format("{} requests never end", alive_.size());
  if (!scheduler_->idle()) return "it never becomes idle";
  SchedulerInput nothing;
  LookAtOutputs(&nothing, true);
  conversations_.CloseAll();
  if (!conversations_.failure().empty()) return conversations_.failure();
  const SchedulerOutput output = scheduler_->Step({.flush_cache = true});
  if (!output.flushed.has_value() || !output.flushed->ok()) return "flush_cache refused when idle";
  for (const PoolUsage& pool : scheduler_->stats().pools) {
    if (pool.free != pool.total) {
      return fmt::format("{}: {} of {} pages free at the end", pool.name, pool.free, pool.total);
    }
  }
  return "";
}

}  // namespace banyan::sim
