// SPDX-License-Identifier: Apache-2.0
// Request: what the scheduler knows of one request, from arrival to its terminal event and until
// the last plan that names it has ended. Private to sched/, but for deployments that put a class of
// their own in its place (SchedulerConfig::make_request): the virtual functions are what they may
// change. They are called on the engine's thread and must not block.
//
// Positions count tokens of prompt and output together. `computed` entries are in the cache;
// `planned` are or will be when the plans in flight have ended.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "cache/lease.h"
#include "sched/request.h"

namespace banyan {

enum class RequestState : uint8_t {
  kWaiting,   // in the queue: new, or retracted
  kRunning,   // has a row: prefilling or decoding
  kFinished,  // told; kept only while a plan in flight names it
};
enum class RequestTransition : uint8_t { kAdmit, kRetract, kFinish };

struct QueueGroup;

class Request {
 public:
  Request(Arrival arrival, uint64_t sequence);
  virtual ~Request() = default;

  // Decides whether output `index`, just appended, ends it; fills `reason` if so. What it says must
  // follow from the tokens alone.
  virtual bool EndsAt(int32_t index, FinishReason* reason) const;
  virtual void OnAdmitted(Position /*shared*/) {
  }                              // it got a row, with so many tokens from the cache
  virtual void OnRetracted() {}  // and waits again
  virtual void OnFinished(const FinishReason& /*reason*/) {}

  RequestState state() const { return state_; }
  // The one way to change the state; a broken invariant when it is not allowed from here.
  void Transition(RequestTransition transition);

  RequestId id() const { return arrival.id; }
  int32_t prompt_length() const { return static_cast<int32_t>(arrival.prompt.size()); }
  int32_t outputs() const { return static_cast<int32_t>(tokens.size()) - prompt_length(); }
  // Outputs when all plans in flight have ended, unless one of them ends it.
  int32_t outputs_planned() const { return outputs() + sampling_in_flight; }
  int32_t max_new_tokens() const { return *arrival.sampling.max_new_tokens; }
  bool prefilling() const { return planned < fill; }
  // Everything is planned that it may have: only outcomes are missing.
  bool planned_to_end() const { return !prefilling() && outputs_planned() >= max_new_tokens(); }

  // For the order of eviction: higher stays longer.
  int cache_priority() const { return arrival.priority; }

  // The prompt position whose log-probability is wanted next; the prompt's length when none is.
  int32_t next_prompt_logprob() const;
  // How many tokens a prefix hit may cover: at least one token is computed, and the one before each
  // position whose log-probability is still wanted.
  Position match_limit() const;

  Arrival arrival;
  const uint64_t sequence;      // order of arrival
  std::vector<TokenId> tokens;  // prompt, then outputs
  std::vector<TokenLogprob> prompt_logprobs;
  bool prompt_logprobs_told = false;

  // RopeLengths: what its keys are turned for. With the arrival's namespace it names the part of
  // the cache that they are shared in.
  int32_t rope_length = 0;
  std::string cache_namespace;

  RowId row = -1;
  CacheLease lease;
  std::vector<PageChange> page_changes;  // not yet in a plan
  Position computed = 0;
  Position planned = 0;
  Position fill = 0;             // tokens known when it was admitted: the prefill ends there
  int32_t logprobs_planned = 0;  // next_prompt_logprob() when the plans in flight have ended
  int in_flight = 0;             // plans that name it
  int sampling_in_flight = 0;    // of those, plans that sample for it

  std::vector<Position> checkpoints;  // where state is to be kept while prefilling

  // A running request is computing a prefix that this one shares: it waits for that outside the
  // queue, as one of the leader's followers.
  Request* leader = nullptr;
  std::vector<Request*> followers;

  // Kept by the queue.
  int64_t queue_rank = 0;  // the better priority is lower
  int64_t queue_key = 0;   // what the policy orders by
  size_t queue_index = 0;
  QueueGroup* group = nullptr;
  int64_t charged = 0;                 // tokens, of a fair share
  NodeId matched_node = kNoNode;       // where its prefix in the cache ended
  uint64_t matched_at = ~uint64_t{0};  // and as of which change of the tree

  int64_t shared_at_admission = 0;  // tokens that the row did not have to compute
  int64_t arrived_in = 0;           // the step
  bool admitted_before = false;
  TimePoint running_deadline = TimePoint::max();  // by its running_limit, once it has had a row
  int32_t retractions = 0;
  int64_t event_step = -1;  // the step whose events have one of this request, at event_index
  size_t event_index = 0;

 private:
  RequestState state_ = RequestState::kWaiting;
};

}  // namespace banyan
