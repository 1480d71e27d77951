// SPDX-License-Identifier: Apache-2.0
// Scheduler: a pure function of its inputs. No device, no input or output, no clock and no thread
// of its own, so that it can be simulated for a million steps (tests/sim). The engine's thread owns
// it and calls Step once per turn.
//
// Owns: the waiting queue, the running rows, the page pools and the prefix tree. docs/design.md
// sections 3 to 5; the admission budget, the policies and the retraction rule follow SGLang's
// (section 1.5 to 1.7 of its description) where nothing better is known.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cache/cache_events.h"
#include "cache/cache_spec.h"
#include "cache/pool_usage.h"
#include "sched/plan.h"
#include "sched/request.h"
#include "sched/routing_keys.h"

namespace banyan {

class Request;
// Makes the state of one request; `sequence` is its number by arrival.
using RequestFactory = std::function<std::unique_ptr<Request>(Arrival arrival, uint64_t sequence)>;

struct SchedulerConfig {
  std::vector<CacheGroupSpec> groups;
  std::vector<int64_t> pages_per_group;  // capacity of each, without the dump page
  int page_size = 16;
  RopeLengths rope_lengths;         // of the model
  int max_running = 256;            // rows
  int64_t max_length = 0;           // positions of one request
  int chunked_prefill_size = 2048;  // most prefill tokens of one step; -1: no limit
  int max_prefill_tokens = 16384;   // most prefill tokens admitted in one turn
  bool mixed_chunk = true;          // prefill and decode in one step
  double schedule_conservativeness = 1.0;
  bool disable_prefix_cache = false;
  int max_inflight = 1;  // plans given out whose outcome has not come back
  // Chunks of equal time instead of equal length: the further a prompt has come, the shorter.
  bool dynamic_chunking = false;
  int prefill_max_requests = 0;  // requests that prefill in one step; 0: no limit

  // Who waits, and in which order (sched/queue.h).
  std::string policy = "fcfs";
  bool priority_scheduling = false;
  bool low_priority_first = false;  // lower values are better
  // A waiting request that does not fit takes the place of running ones whose priority is worse by
  // more than the threshold.
  bool priority_preemption = true;
  int preemption_threshold = 10;
  bool fair_share = false;
  // Of requests that have never run; 0: no limit. Beyond them a request is refused, or, with
  // priorities, the least of those that wait if it is worse.
  int max_queued = 0;
  int64_t max_queued_tokens = 0;

  std::string eviction_policy = "lru";
  // State is kept at least every so many tokens of a prompt, and of an output.
  int prefill_checkpoint_interval = 1024;
  int decode_checkpoint_interval = 64;
  int retract_interval = 0;     // tests: retracts a request every so many plans, need or not
  RequestFactory make_request;  // none: sched/request_state.h's own
  TreeObserver* cache_observer = nullptr;         // of the prefix tree; borrowed
  EvictionObserver* eviction_observer = nullptr;  // likewise
};

// What becomes of running requests while no plans are made.
enum class PauseMode : uint8_t {
  kAbort,    // they end, and so do those that wait
  kRetract,  // they wait again, and hold nothing
  kInPlace,  // they stay as they are
};

struct SchedulerInput {
  TimePoint now;
  std::vector<Arrival> arrivals;
  std::vector<RequestId> aborts;
  std::vector<StopAt> stops;
  std::vector<StepOutcome> outcomes;
  bool flush_cache = false;
  // No plans are made from now on, until `resume`; whatever arrives waits. Plans that are out come
  // back as always.
  std::optional<PauseMode> pause;
  bool resume = false;
};

struct SchedulerOutput {
  std::optional<StepPlan> plan;  // none: nothing to do, or max_inflight plans are out
  std::vector<RequestEvent> events;
  // Answer to flush_cache: refused while a request holds any of it or a plan is out.
  std::optional<Status> flushed;
};

struct SchedulerStats {
  int running = 0;
  int waiting = 0;
  int64_t waiting_tokens = 0;
  bool paused = false;
  double queue_seconds = 0;  // until those that wait now have left the queue, at the measured speed
  int64_t used_tokens = 0;
  int64_t running_tokens = 0;  // lengths of the running requests
  int64_t tree_tokens = 0;     // in the prefix tree
  int64_t evicted_tokens_total = 0;
  int64_t cached_tokens_total = 0, prompt_tokens_total = 0;
  int64_t retracted_total = 0, retracted_input_total = 0, retracted_output_total = 0;
  // Times that pages or state slots did not suffice: a running request was put back, or an
  // admission put off for what those that run are expected to need.
  int64_t exhausted_total = 0;
  double new_token_ratio = 0;
  RoutingKeyLoad routing_keys;
  std::vector<PoolUsage> pools;
  // Of the last plan: what the prefill and decode log lines print.
  int last_prefill_requests = 0, last_prefill_tokens = 0, last_cached_tokens = 0,
      last_decode_rows = 0;
};

class Scheduler {
 public:
  // kInvalidArgument names the setting that cannot be.
  static StatusOr<std::unique_ptr<Scheduler>> Create(SchedulerConfig config);
  virtual ~Scheduler() = default;

  virtual SchedulerOutput Step(SchedulerInput input) = 0;
  virtual bool idle() const = 0;  // nothing waiting, running or in flight
  virtual SchedulerStats stats() const = 0;
  // Tells `observer` what the prefix tree holds now. O(tree).
  virtual void VisitCache(TreeObserver& observer) const = 0;
  // The invariant of docs/design.md section 5: every page in exactly one place. O(pages): debug
  // builds, tests, the idle check.
  virtual Status CheckInvariants() const = 0;
};

}  // namespace banyan
