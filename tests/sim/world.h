// SPDX-License-Identifier: Apache-2.0
// The hash model's world: random requests, sessions, aborts, late stops, pauses and flushes against
// the real scheduler and cache, a fake device that runs late, and an output thread that looks later
// still.
// Everything follows from the configuration and a list of numbers, one per step, so that a failure
// can be repeated and its list be made shorter.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sched/scheduler.h"
#include "sim/conversations.h"
#include "sim/expected.h"
#include "sim/fake_device.h"
#include "sim/rng.h"

namespace banyan::sim {

struct WorldConfig {
  std::string name;
  std::vector<Layer> layers = {{}};
  Rope rope;
  int page_size = 1;
  std::vector<int64_t> pages;  // per layer; slots of a state layer
  int chunk = 16;              // -1: whole prompts
  int max_inflight = 2;
  int max_running = 6;
  bool mixed = true;
  bool prefix_cache = true;
  std::string policy = "fcfs";
  bool priorities = false;
  bool low_first = false;
  bool one_priority = false;  // for most requests
  bool preemption = true;
  int preemption_threshold = 10;
  bool fair_share = false;
  bool dynamic_chunking = false;
  int max_queued = 0, max_queued_tokens = 0;
  int prefill_max_requests = 0, max_prefill_tokens = 16384;
  int samples = 1;        // a prompt may come for so many samples at once
  bool sessions = false;  // half of the requests are turns of sessions
  bool pauses = false;    // generation is paused and continued now and then
  bool stalls = false;    // the device stands still now and then, as if it waited for a mask
  std::string eviction = "lru";
  double conservativeness = 0.3;  // low: admits too many, so that requests are retracted
  int longest_prompt = 60;
  int most_new_tokens = 30;
  int checkpoint_interval = 16;
  int retract_interval = 0;  // retracts every so many plans, need or not
  int output_delay = 0;      // steps between an event and the output thread's look at it, at most
  bool errors = false;       // rows and steps fail now and then
};

std::string Describe(const WorldConfig& config);

class World {
 public:
  explicit World(WorldConfig config);

  // One turn, decided by `seed`; 0 is a turn in which nothing arrives and all that is late is
  // done. Returns what is wrong, or an empty string.
  std::string Step(uint32_t seed);
  // Turns without arrivals until nothing is left, then the state that must come of it.
  std::string Drain();

  int64_t requests() const { return next_id_ - 1; }
  int64_t finished() const { return finished_; }
  int64_t retractions() const { return scheduler_->stats().retracted_total; }
  int64_t cached_tokens() const { return scheduler_->stats().cached_tokens_total; }
  int64_t late_stops() const { return late_stops_; }
  int64_t plans() const { return plans_; }
  int64_t pauses() const { return pauses_; }
  int64_t refused() const { return refused_; }
  int64_t turns() const { return conversations_.turns(); }

 private:
  struct Sent {
    Arrival arrival;
    int stop = -1;      // the output thread finds a stop string at this output
    bool turn = false;  // of a session
    bool aborted = false, failed = false;
    std::vector<TokenId> told;
    std::vector<TokenLogprob> prompt_logprobs;
    int looked = 0;  // outputs that the output thread has seen
    bool stop_sent = false;
    std::optional<RequestEvent> end;
    int64_t sent_at = 0;
    // Nobody starves: plans by which it has ended, and rows opened by which it has one.
    int64_t bound = 0;
    int64_t opened_bound = 0;
    bool admitted = false;
    TimePoint admitted_at;
    int64_t work = 0;
  };
  struct Seen {
    int64_t at;  // step
    RequestId id;
    std::vector<TokenId> tokens;
    int stop;
    std::optional<FinishReason> finished;
  };
  struct Fresh {  // those that never had a row
    int requests = 0;
    int64_t tokens = 0;
  };
  TimePoint Now() const { return TimePoint() + std::chrono::milliseconds(10 * step_); }
  bool RandomArrival(Rng& rng, Sent* sent, std::vector<RequestId>* aborts);
  void Arrivals(Rng& rng, SchedulerInput* input);
  void Aborts(const std::vector<RequestId>& ids, SchedulerInput* input);
  void RunDevice(Rng& rng, bool quiet, SchedulerInput* input);
  Fresh CountFresh() const;
  std::string CheckQueue() const;
  int64_t Work(int64_t prompt, int outputs) const;
  void Send(Sent sent, SchedulerInput* input);
  void PauseOrNot(Rng& rng, SchedulerInput* input);
  std::string CheckStarvation() const;
  std::string CheckPreemption(const StepPlan& plan);
  std::string Hear(const RequestEvent& event);
  std::string Judge(const Sent& sent) const;
  void LookAtOutputs(SchedulerInput* input, bool all);
  void InjectErrors(Rng& rng, StepOutcome* outcome);

  const WorldConfig config_;
  std::unique_ptr<Scheduler> scheduler_;
  FakeDevice device_;
  std::deque<StepOutcome> outcomes_;  // run, not yet told
  std::map<RowId, RequestId> rows_;
  int64_t passed_over_ = 0;  // plans in a row, while nothing but lesser rows is in the way
  std::map<RequestId, Sent> alive_;
  std::deque<std::vector<TokenId>> texts_;  // to begin prompts with
  std::deque<Seen> unseen_;                 // what the output thread has not looked at
  Conversations conversations_;
  Fresh asked_;                // when the scheduler was last asked
  int64_t stalled_until_ = 0;  // step
  RequestId next_id_ = 1;
  bool paused_ = false;
  int64_t step_ = 0, plans_ = 0, finished_ = 0, late_stops_ = 0, pauses_ = 0, refused_ = 0;
  int64_t opened_ = 0;  // rows
};

}  // namespace banyan::sim
