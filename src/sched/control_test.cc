// SPDX-License-Identifier: Apache-2.0
// Pausing, flushing, samples that share a prompt, chunks of equal time, a request class of one's
// own.
#include <gtest/gtest.h>

#include "sched/request_state.h"
#include "sched/scheduler_harness.h"
#include "sched/step_time.h"

namespace banyan {
namespace {

TEST(PauseTest, InPlaceKeepsEverythingAsItIs) {
  Harness h(SmallConfig());
  h.Step({.arrivals = {MakeArrival(1, Count(0, 10), 8)}});
  h.Step();
  h.Step({.pause = PauseMode::kInPlace});
  const size_t plans = h.plans.size();
  h.Step({.arrivals = {MakeArrival(2, Count(50, 10), 8)}});
  EXPECT_FALSE(h.Step({.flush_cache = true}).flushed->ok());
  EXPECT_EQ(h.plans.size(), plans);
  EXPECT_TRUE(h.scheduler->stats().paused);
  EXPECT_EQ(h.scheduler->stats().running, 1);
  h.Step({.resume = true});
  h.RunToEnd();
  EXPECT_EQ(h.events[1].tokens, Count(110, 8));
  EXPECT_EQ(h.events[1].retractions, 0);
  EXPECT_EQ(h.events[2].tokens, Count(110, 8));
}

TEST(PauseTest, RetractHoldsNothingAndLosesNothing) {
  SchedulerConfig config = SmallConfig();
  config.max_inflight = 2;
  Harness h(config);
  h.Step({.arrivals = {MakeArrival(1, Count(0, 10), 8), MakeArrival(2, Count(50, 10), 8)}});
  for (int i = 0; i < 3; ++i) h.Step();
  h.Step({.pause = PauseMode::kRetract});
  h.Step();
  EXPECT_EQ(h.scheduler->stats().running, 0);
  EXPECT_EQ(h.scheduler->stats().waiting, 2);
  // Nobody holds any of it, so it may go.
  EXPECT_TRUE(h.Step({.flush_cache = true}).flushed->ok());
  EXPECT_EQ(h.scheduler->stats().pools[0].free, 64);
  EXPECT_FALSE(h.Step().plan.has_value());
  h.Step({.resume = true});
  h.RunToEnd();
  for (RequestId id : {1, 2}) {
    EXPECT_EQ(h.events[id].tokens, Count(110, 8));
    EXPECT_EQ(h.events[id].retractions, 1);
  }
}

TEST(PauseTest, AbortEndsAllAndHoldsNewOnesBack) {
  SchedulerConfig config = SmallConfig();
  config.max_running = 1;
  Harness h(config);
  h.Step({.arrivals = {MakeArrival(1, Count(0, 10), 8), MakeArrival(2, Count(50, 10), 8)}});
  h.Step({.pause = PauseMode::kAbort});
  EXPECT_EQ(h.events[1].finished->status.code(), StatusCode::kCancelled);
  EXPECT_EQ(h.events[2].finished->status.code(), StatusCode::kCancelled);
  h.Step({.arrivals = {MakeArrival(3, Count(0, 10), 8)}});
  EXPECT_FALSE(h.Step().plan.has_value());
  EXPECT_FALSE(h.events[3].finished.has_value());
  h.Step({.resume = true});
  h.RunToEnd();
  EXPECT_EQ(h.events[3].tokens, Count(110, 8));
}

TEST(PauseTest, DeadlinesGoOn) {
  Harness h(SmallConfig());
  Arrival arrival = MakeArrival(1, Count(0, 10), 8);
  arrival.queue_deadline = TimePoint() + std::chrono::seconds(1);
  h.Step({.pause = PauseMode::kInPlace});
  h.Step({.arrivals = {arrival}});
  h.Step({.now = TimePoint() + std::chrono::seconds(2)});
  EXPECT_EQ(h.events[1].finished->status.code(), StatusCode::kUnavailable);
}

// n > 1: the samples come together, and their prompt is computed once but for the last page.
TEST(SamplesTest, ShareOnePrefill) {
  for (const int page_size : {1, 16}) {
    SchedulerConfig config = SmallConfig(400, page_size);
    Harness h(config);
    SchedulerInput input;
    for (RequestId id = 1; id <= 5; ++id) {
      input.arrivals.push_back(MakeArrival(id, Count(0, 100), 3));
      input.arrivals.back().seed = id;
    }
    h.Step(std::move(input));
    h.RunToEnd();
    const int rest = 100 - 99 / page_size * page_size;
    EXPECT_EQ(h.prefilled(), 100 + 4 * rest);
    for (RequestId id = 1; id <= 5; ++id) EXPECT_EQ(h.events[id].tokens, Count(200, 3));
    EXPECT_EQ(h.events[5].cached_tokens, 100 - rest);
  }
}

TEST(StepTimeTest, FindsWhatAPairCosts) {
  StepTime time;
  EXPECT_EQ(time.Chunk(10000, 512), 512);
  // 2 ms, 10 us a token, 2 ns a pair.
  for (int i = 0; i < 50; ++i) {
    const double context = 997.0 * (i % 7), tokens = 100 + 37 * (i % 5);
    const double pairs = StepTime::Pairs(context, tokens);
    time.Observe(tokens, pairs, 2e-3 + 1e-5 * tokens + 2e-9 * pairs);
  }
  EXPECT_NEAR(time.pair_cost(), 2e-4, 4e-6);
  // At 5,000 tokens each costs twice as much; three quarters of the way there.
  const double full = 512 + 2e-4 * 512 * 512 / 2;
  const int64_t chunk = time.Chunk(5000, 512);
  const double equal = (static_cast<double>(chunk) - 128) / 0.75;
  EXPECT_NEAR(equal * (1 + 2e-4 * (5000 + equal / 2)), full, 10);
  EXPECT_GE(time.Chunk(1 << 24, 512), 128);
}

// Time is simulated: a step takes what the rows of its plan cost.
TEST(DynamicChunkTest, ChunksShrinkAsThePromptGrows) {
  for (const bool dynamic : {false, true}) {
    SchedulerConfig config = SmallConfig(60000, 16);
    config.max_length = 100000;
    config.chunked_prefill_size = 512;
    config.dynamic_chunking = dynamic;
    Harness h(config);
    TimePoint now = TimePoint() + std::chrono::hours(1);
    SchedulerInput input;
    input.arrivals = {MakeArrival(1, Count(0, 30000), 2)};
    std::vector<int> chunks;
    std::map<RowId, double> context;
    while (!h.events[1].finished) {
      input.now = now;
      const SchedulerOutput output = h.Step(std::exchange(input, {}));
      double seconds = 1e-3;
      if (output.plan) {
        for (const Span& span : output.plan->spans) {
          const double begin = span.length_bound - span.num_tokens;
          seconds += 1e-5 * span.num_tokens + 2e-9 * StepTime::Pairs(begin, span.num_tokens);
          if (!span.tokens.empty()) chunks.push_back(span.num_tokens);
        }
      }
      now +=
          std::chrono::duration_cast<TimePoint::duration>(std::chrono::duration<double>(seconds));
    }
    EXPECT_EQ(chunks.front(), 512);
    const int last = chunks[chunks.size() - 2];
    if (dynamic) {
      EXPECT_LT(last, 256);
      EXPECT_GT(last, 127);
    } else {
      EXPECT_EQ(last, 512);
    }
  }
}

// Several prompts are on their way at once, since a chunk ends with a page and leaves some of the
// budget to the next. When it is spent, the others wait: a token of each in every step would cost a
// read of all that they have.
TEST(DynamicChunkTest, NothingIsComputedBeyondTheBudget) {
  SchedulerConfig config = SmallConfig(12000, 16);
  config.max_running = 16;
  config.max_length = 20000;
  config.chunked_prefill_size = 512;
  config.dynamic_chunking = true;
  Harness h(config);
  TimePoint now = TimePoint() + std::chrono::hours(1);
  SchedulerInput input;
  for (RequestId id = 1; id <= 12; ++id) {
    input.arrivals.push_back(MakeArrival(id, Count(static_cast<TokenId>(20000 * id), 12000), 1));
  }
  int steps = 0, spans = 0;
  while (!h.scheduler->idle() || steps == 0) {
    input.now = now;
    const SchedulerOutput output = h.Step(std::exchange(input, {}));
    double seconds = 1e-3;
    if (output.plan) {
      ++steps;
      spans += static_cast<int>(output.plan->spans.size());
      for (const Span& span : output.plan->spans) {
        const double begin = span.length_bound - span.num_tokens;
        seconds += 1e-5 * span.num_tokens + 2e-9 * StepTime::Pairs(begin, span.num_tokens);
      }
    }
    now += std::chrono::duration_cast<TimePoint::duration>(std::chrono::duration<double>(seconds));
  }
  EXPECT_LT(spans, 3 * steps);
}

class ShortRequest : public Request {
 public:
  using Request::Request;
  bool EndsAt(int32_t index, FinishReason* reason) const override {
    reason->kind = FinishReason::Kind::kStop;
    return index == 2;
  }
  void OnFinished(const FinishReason&) override { ++finished; }
  static inline int finished = 0;
};

TEST(RequestFactoryTest, ADeploymentsOwnClassDecides) {
  SchedulerConfig config = SmallConfig();
  config.make_request = [](Arrival arrival, uint64_t sequence) {
    return std::make_unique<ShortRequest>(std::move(arrival), sequence);
  };
  Harness h(config);
  h.Step({.arrivals = {MakeArrival(1, Count(0, 10), 8)}});
  h.RunToEnd();
  EXPECT_EQ(h.events[1].tokens, Count(110, 3));
  EXPECT_EQ(ShortRequest::finished, 1);
}

}  // namespace
}  // namespace banyan
