// SPDX-License-Identifier: Apache-2.0
// The one implementation of Scheduler, in four files: scheduler.cc (what comes in and goes out),
// commit.cc (outcomes, and how a request ends), planner.cc (the next plan), admit.cc (who gets a
// row). Private to sched/.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "cache/prefix_cache.h"
#include "sched/admission.h"
#include "sched/drain_rate.h"
#include "sched/queue.h"
#include "sched/request_state.h"
#include "sched/scheduler.h"
#include "sched/step_time.h"

namespace banyan {

class SchedulerImpl : public Scheduler {
 public:
  SchedulerImpl(SchedulerConfig config, QueueOptions queue, std::unique_ptr<PrefixCache> cache);
  ~SchedulerImpl() override;

  SchedulerOutput Step(SchedulerInput input) override;
  bool idle() const override;
  SchedulerStats stats() const override;
  void VisitCache(TreeObserver& observer) const override { cache_->tree().Visit(observer); }
  Status CheckInvariants() const override;

 private:
  // A plan whose outcome has not come back: its spans in order.
  struct InFlight {
    struct Entry {
      Request* request;
      int32_t num_tokens;
      bool sample;
    };
    PlanNumber number = 0;
    std::vector<Entry> entries;
    TimePoint issued;
    double tokens = 0, pairs = 0;
  };
  // Of two at the same time the request that came first: nothing depends on addresses.
  struct DeadlineBefore {
    bool operator()(const std::pair<TimePoint, Request*>& a,
                    const std::pair<TimePoint, Request*>& b) const {
      return std::pair(a.first, a.second->sequence) < std::pair(b.first, b.second->sequence);
    }
  };
  using Deadlines = absl::btree_set<std::pair<TimePoint, Request*>, DeadlineBefore>;

  // scheduler.cc
  void Arrive(Arrival arrival);
  Status Refusal(const Arrival& arrival) const;
  Status MakeQueueRoom(const Request& request);
  void Pause(PauseMode mode);
  void Expire(TimePoint now);
  Request* Find(RequestId id);  // null when it has ended
  RequestEvent& EventOf(Request& request);
  void ChooseRope(Request& request, int64_t length) const;

  // commit.cc
  void Commit(StepOutcome outcome);
  void CommitRow(const InFlight::Entry& entry, RowOutcome& row, const Status& step_error);
  void StopRequest(const StopAt& stop);
  void Finish(Request& request, FinishReason reason);
  void FinishWithError(Request& request, Status status);
  void Retract(Request& request);
  void LeaveRow(Request& request, bool publish);
  void Publish(Request& request);
  void Forget(Request& request);  // unless a plan in flight names it

  // planner.cc
  std::optional<StepPlan> MakePlan();
  void PlanSpans();
  void PlanDecodes();
  bool MakeRoomForDecodes();
  bool RetractOne();
  bool Tighten();
  bool WindowsHaveNot(int64_t pages) const;
  void RetractOutgrown();
  void PlanPrefills();
  bool PlanChunk(Request& request);
  void PlanSpan(Request& request, int32_t num_tokens, bool sample);
  void WantCheckpoint(Request& request, Position position) const;
  void PlanSnapshots(Request& request, Span& span) const;
  int64_t ChunkBudget(int64_t decode_rows) const;

  // admit.cc
  void Admit(int64_t below);  // those whose priority's rank is below that
  // Others of that rank and worse wait so many plans, or until a request leaves.
  void BlockAdmission(PlanNumber plans, int64_t rank);
  enum class Admission { kAdmitted, kFollows, kAnother, kRefused };
  Admission AdmitOne(Request& request, const AdmissionBudget& budget, bool settled);
  Request* FindLeader(const Request& request, Position matched, Position* common) const;
  void OpenRow(Request& request, CacheLease lease, Position known, CacheMiss miss);
  void Preempt();
  // What was preempted comes back with the plans that were out then.
  bool freeing() const {
    return !in_flight_.empty() && in_flight_.front().number <= preempted_until_;
  }

  const SchedulerConfig config_;
  std::unique_ptr<PrefixCache> cache_;
  absl::flat_hash_map<RequestId, std::unique_ptr<Request>> requests_;
  WaitingQueue waiting_;
  std::vector<Request*> running_;  // the best priority first, then by arrival
  std::vector<RowId> free_rows_;   // a stack
  std::vector<RowId> closing_;     // to be told in the next plan
  std::deque<InFlight> in_flight_;
  Deadlines deadlines_, queue_deadlines_, running_deadlines_;

  NewTokenRatio ratio_;
  uint64_t arrivals_ = 0;
  PlanNumber plans_ = 0;
  int64_t steps_ = 0;
  // Admission was refused for want of pages: not tried again until one of these plans or a request
  // that leaves, unless for one that matters more.
  PlanNumber blocked_until_ = 0;
  int64_t blocked_rank_ = 0;
  PlanNumber preempted_until_ = 0;      // what was preempted is free when this one has ended
  uint64_t waited_for_ = ~uint64_t{0};  // the request, by arrival, for which that was last

  bool paused_ = false;
  TimePoint now_;  // of the step that runs
  TimePoint last_outcome_;
  int64_t left_queue_ = 0;  // requests that left it for the first time since the last step
  DrainRate drain_rate_;
  StepTime step_time_;

  SchedulerOutput out_;  // of the step that runs
  StepPlan plan_;        // being made
  InFlight record_;
  int64_t chunk_left_ = 0, prefill_left_ = 0;
  int prefills_in_a_row_ = 0;  // plans, where prompts and outputs are not mixed
  SchedulerStats counters_;
};

}  // namespace banyan
