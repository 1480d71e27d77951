// SPDX-License-Identifier: Apache-2.0
// A scheduler whose plans run at once, or some plans later, for the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <deque>
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

// Every sampled token is 100 + the row's length. The outcome of a plan is told with the step after
// it, or as long as plans follow each other, `late` steps after that.
class Harness {
 public:
  explicit Harness(SchedulerConfig config, size_t late = 0) : late_(late) {
    auto made = Scheduler::Create(std::move(config));
    EXPECT_TRUE(made.ok()) << made.status();
    scheduler = *std::move(made);
  }

  SchedulerOutput Step(SchedulerInput input = {}) {
    while (pending_.size() > (planned_ ? late_ : 0)) {
      input.outcomes.push_back(Run(pending_.front()));
      pending_.pop_front();
    }
    SchedulerOutput output = scheduler->Step(std::move(input));
    planned_ = output.plan.has_value();
    if (planned_) {
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

  const size_t late_;
  bool planned_ = false;  // by the last step
  std::deque<StepPlan> pending_;
  std::map<RowId, int> lengths_;
};

}  // namespace banyan
