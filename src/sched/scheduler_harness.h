// SPDX-License-Identifier: Apache-2.0
// A scheduler whose plans run at once, for the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "sched/scheduler.h"

namespace banyan {

inline SchedulerConfig SmallConfig(int64_t pages = 64, int page_size = 1) {
  SchedulerConfig config;
  config.groups = {{.type = CacheKindType::kFull, .name = "full"}};
  config.pages_per_group = {pages};
  config.page_size = page_size;
  config.max_running = 8;
  config.max_length = 1000;
  return config;
}

inline Arrival MakeArrival(RequestId id, std::vector<TokenId> prompt, int max_new_tokens) {
  Arrival arrival;
  arrival.id = id;
  arrival.prompt = std::move(prompt);
  arrival.sampling.max_new_tokens = max_new_tokens;
  return arrival;
}

inline std::vector<TokenId> Count(TokenId first, int n) {
  std::vector<TokenId> tokens(n);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

// Runs plans at once; every sampled token is 100 + the row's length.
class Harness {
 public:
  explicit Harness(SchedulerConfig config) {
    auto made = Scheduler::Create(std::move(config));
    EXPECT_TRUE(made.ok()) << made.status();
    scheduler = *std::move(made);
  }

  SchedulerOutput Step(SchedulerInput input = {}) {
    for (const StepPlan& plan : pending_) input.outcomes.push_back(Run(plan));
    pending_.clear();
    SchedulerOutput output = scheduler->Step(std::move(input));
    if (output.plan) {
      pending_.push_back(*output.plan);
      plans.push_back(*output.plan);
    }
    for (RequestEvent& event : output.events) {
      RequestEvent& sum = events[event.id];
      sum.tokens.insert(sum.tokens.end(), event.tokens.begin(), event.tokens.end());
      if (event.admitted) {
        sum.cached_tokens = event.cached_tokens;
        admitted.push_back(event.id);
      }
      sum.retractions = event.retractions;
      sum.output_length = event.output_length;
      sum.prompt_logprobs.insert(sum.prompt_logprobs.end(), event.prompt_logprobs.begin(),
                                 event.prompt_logprobs.end());
      EXPECT_FALSE(sum.finished.has_value()) << "an event after the end";
      sum.finished = event.finished;
    }
    EXPECT_TRUE(scheduler->CheckInvariants().ok()) << scheduler->CheckInvariants();
    return output;
  }

  void RunToEnd(int steps = 1000) {
    for (int i = 0; i < steps && !(scheduler->idle() && pending_.empty()); ++i) Step();
    EXPECT_TRUE(scheduler->idle());
  }

  // Prompt tokens that were computed rather than found.
  int prefilled() const {
    int tokens = 0;
    for (const StepPlan& plan : plans) {
      for (const Span& span : plan.spans) tokens += static_cast<int>(span.tokens.size());
    }
    return tokens;
  }

  std::unique_ptr<Scheduler> scheduler;
  std::map<RequestId, RequestEvent> events;
  std::vector<RequestId> admitted;  // in order
  std::vector<StepPlan> plans;      // all that were made

 private:
  StepOutcome Run(const StepPlan& plan) {
    StepOutcome outcome;
    outcome.number = plan.number;
    for (const RowOpened& opened : plan.opened) lengths_[opened.row] = opened.length;
    for (const Span& span : plan.spans) {
      lengths_[span.row] += span.num_tokens;
      RowOutcome row;
      row.row = span.row;
      if (span.sample) row.accepted = {100 + lengths_[span.row]};
      for (TokenId id : span.prompt_logprob_targets) {
        row.prompt_logprobs.push_back({.id = id, .logprob = -static_cast<float>(id)});
      }
      outcome.rows.push_back(row);
    }
    return outcome;
  }

  std::vector<StepPlan> pending_;
  std::map<RowId, int> lengths_;
};

}  // namespace banyan
