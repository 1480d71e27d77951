// SPDX-License-Identifier: Apache-2.0
#include "sched/scheduler.h"

#include <gtest/gtest.h>

#include <map>

#include "cache/kinds/kind.h"
#include "sched/scheduler_harness.h"

namespace banyan {
namespace {

TEST(SchedulerTest, RunsARequestToItsLength) {
  Harness h(SmallConfig());
  h.Step({.arrivals = {MakeArrival(1, Count(0, 10), 3)}});
  h.RunToEnd();
  const RequestEvent& event = h.events[1];
  EXPECT_EQ(event.tokens, (std::vector<TokenId>{110, 111, 112}));
  ASSERT_TRUE(event.finished.has_value());
  EXPECT_EQ(event.finished->kind, FinishReason::Kind::kLength);
  EXPECT_EQ(event.output_length, 3);
}

TEST(SchedulerTest, SecondRequestFindsTheFirstOnesPrefix) {
  Harness h(SmallConfig());
  h.Step({.arrivals = {MakeArrival(1, Count(0, 10), 3)}});
  h.RunToEnd();
  h.Step({.arrivals = {MakeArrival(2, Count(0, 10), 3)}});
  h.RunToEnd();
  EXPECT_EQ(h.events[2].cached_tokens, 9);
  auto other = MakeArrival(3, Count(0, 10), 3);
  other.cache_namespace = "salt";
  h.Step({.arrivals = {other}});
  h.RunToEnd();
  EXPECT_EQ(h.events[3].cached_tokens, 0);
}

TEST(SchedulerTest, PromptLogprobsAcrossChunksAndHits) {
  SchedulerConfig config = SmallConfig();
  config.chunked_prefill_size = 4;
  Harness h(config);
  for (RequestId id = 1; id <= 3; ++id) {
    auto arrival = MakeArrival(id, Count(10, 10), 2);
    arrival.logprobs.enabled = true;
    arrival.logprobs.prompt_start = id == 1 ? 0 : 6;
    h.Step({.arrivals = {arrival}});
    h.RunToEnd();
    const auto& got = h.events[id].prompt_logprobs;
    ASSERT_EQ(got.size(), id == 1 ? 10u : 4u);
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].id, static_cast<TokenId>(i) + (id == 1 ? 10 : 16));
      EXPECT_EQ(got[i].logprob.has_value(), !(id == 1 && i == 0));
    }
    EXPECT_EQ(h.events[id].cached_tokens, id == 1 ? 0 : 5);
  }
}

TEST(SchedulerTest, EndIdsCountFromMinNewTokens) {
  Harness h(SmallConfig());
  auto arrival = MakeArrival(1, Count(0, 10), 8);
  arrival.end_ids = {110, 113};
  arrival.sampling.min_new_tokens = 2;
  h.Step({.arrivals = {arrival}});
  h.RunToEnd();
  EXPECT_EQ(h.events[1].tokens, (std::vector<TokenId>{110, 111, 112, 113}));
  EXPECT_EQ(h.events[1].finished->kind, FinishReason::Kind::kStop);
  EXPECT_EQ(h.events[1].finished->stop_token, 113);
}

TEST(SchedulerTest, PrefillOnly) {
  Harness h(SmallConfig());
  h.Step({.arrivals = {MakeArrival(1, Count(0, 10), 0)}});
  h.RunToEnd();
  EXPECT_TRUE(h.events[1].tokens.empty());
  EXPECT_EQ(h.events[1].finished->kind, FinishReason::Kind::kLength);
}

TEST(SchedulerTest, LateStopCutsTheOutput) {
  Harness h(SmallConfig());
  h.Step({.arrivals = {MakeArrival(1, Count(0, 10), 20)}});
  for (int i = 0; i < 6; ++i) h.Step();
  h.Step({.stops = {{.id = 1, .index = 2, .stop_string = "x"}}});
  EXPECT_EQ(h.events[1].output_length, 3);
  EXPECT_EQ(h.events[1].finished->stop_string, "x");
  h.RunToEnd();
}

TEST(SchedulerTest, AbortsInEveryState) {
  SchedulerConfig config = SmallConfig();
  config.max_running = 1;
  Harness h(config);
  h.Step({.arrivals = {MakeArrival(1, Count(0, 10), 20), MakeArrival(2, Count(0, 10), 20)}});
  h.Step({.aborts = {2, 77}});
  EXPECT_EQ(h.events[2].finished->status.code(), StatusCode::kCancelled);
  h.Step({.aborts = {1}});
  EXPECT_EQ(h.events[1].finished->status.code(), StatusCode::kCancelled);
  h.RunToEnd();
}

TEST(SchedulerTest, RetractsWhenPagesRunOutAndLosesNothing) {
  SchedulerConfig config = SmallConfig(40);
  config.schedule_conservativeness = 0.01;  // admits far too many
  Harness h(config);
  for (RequestId id = 1; id <= 6; ++id) {
    h.Step({.arrivals = {MakeArrival(id, Count(static_cast<TokenId>(1000 * id), 5), 25)}});
  }
  h.RunToEnd();
  int retractions = 0;
  for (RequestId id = 1; id <= 6; ++id) {
    EXPECT_EQ(h.events[id].tokens, Count(105, 25)) << id;
    retractions += h.events[id].retractions;
  }
  EXPECT_GT(retractions, 0);
  EXPECT_EQ(h.events[1].retractions, 0) << "the oldest is never retracted";
}

TEST(SchedulerTest, RefusesWhatCanNeverFit) {
  Harness h(SmallConfig(16));
  h.Step({.arrivals = {MakeArrival(1, Count(0, 10), 8), MakeArrival(2, Count(0, 10), 7),
                       MakeArrival(3, {}, 7)}});
  EXPECT_EQ(h.events[1].finished->status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(h.events[3].finished->status.code(), StatusCode::kInvalidArgument);
  h.RunToEnd();
  EXPECT_EQ(h.events[2].tokens.size(), 7u);
}

TEST(SchedulerTest, FlushesOnlyWhenIdle) {
  Harness h(SmallConfig());
  EXPECT_FALSE(
      h.Step({.arrivals = {MakeArrival(1, Count(0, 10), 3)}, .flush_cache = true}).flushed->ok());
  h.RunToEnd();
  EXPECT_GT(h.scheduler->stats().pools[0].evictable, 0);
  EXPECT_TRUE(h.Step({.flush_cache = true}).flushed->ok());
  EXPECT_EQ(h.scheduler->stats().pools[0].free, 64);
}

TEST(SchedulerTest, Deadlines) {
  SchedulerConfig config = SmallConfig();
  config.max_running = 1;
  Harness h(config);
  const TimePoint start;
  auto slow = MakeArrival(1, Count(0, 10), 20);
  slow.deadline = start + std::chrono::seconds(5);
  auto queued = MakeArrival(2, Count(0, 10), 20);
  queued.queue_deadline = start + std::chrono::seconds(1);
  h.Step({.now = start, .arrivals = {slow, queued}});
  h.Step({.now = start + std::chrono::seconds(2)});
  EXPECT_EQ(h.events[2].finished->status.code(), StatusCode::kUnavailable);
  EXPECT_FALSE(h.events[1].finished.has_value());
  h.Step({.now = start + std::chrono::seconds(6)});
  EXPECT_EQ(h.events[1].finished->status.code(), StatusCode::kDeadlineExceeded);
  h.RunToEnd();
}

// Of how long a request may run, the queue is no part; to wait again for a row is.
TEST(SchedulerTest, TheRunningLimitBeginsWithTheFirstRow) {
  SchedulerConfig config = SmallConfig();
  config.max_running = 1;
  Harness h(config);
  const auto at = [](int seconds) { return TimePoint() + std::chrono::seconds(100 + seconds); };
  auto first = MakeArrival(1, Count(0, 10), 3), second = MakeArrival(2, Count(50, 10), 50);
  second.running_limit = std::chrono::seconds(5);
  h.Step({.now = at(0), .arrivals = {first, second}});
  for (int i = 0; i < 3; ++i) h.Step({.now = at(20)});
  ASSERT_EQ(h.admitted.back(), 2u);
  h.Step({.now = at(22), .pause = PauseMode::kRetract});
  h.Step({.now = at(24), .resume = true});
  EXPECT_FALSE(h.events[2].finished.has_value());
  h.Step({.now = at(25)});
  EXPECT_EQ(h.events[2].finished->status.code(), StatusCode::kUnavailable);
  h.RunToEnd();
}

TEST(SchedulerTest, WithoutMixedChunksPromptsDoNotStopOutputs) {
  SchedulerConfig config = SmallConfig(400);
  config.mixed_chunk = false;
  Harness h(config);
  h.Step({.arrivals = {MakeArrival(1, Count(0, 5), 4)}});
  // Prompts of one output each come without an end.
  for (RequestId id = 2; id < 100 && !h.events[1].finished; ++id) {
    h.Step({.arrivals = {MakeArrival(id, Count(static_cast<TokenId>(10 * id), 5), 1)}});
  }
  EXPECT_TRUE(h.events[1].finished.has_value());
  EXPECT_LE(h.plans.size(), 4 * 9u);
}

// Pools of windows that hold what one request needs and no more: a prompt that is taken whole fills
// them with one node, of which a window reads the end; and so does an output that is gone on from.
TEST(SchedulerTest, TheLeastPoolOfAWindowIsEnough) {
  for (const int page_size : {1, 4}) {
    for (CacheGroupSpec group : {CacheGroupSpec{CacheKindType::kWindow, 8, 0},
                                 CacheGroupSpec{CacheKindType::kWindow, 8, 5},
                                 CacheGroupSpec{CacheKindType::kChunkedLocal, 12, 0}}) {
      group.name = "window";
      const auto kind = CacheKind::Create(group, page_size, CacheKind::ResumeSlack(page_size, 0));
      SchedulerConfig config = SmallConfig(kind->PagesHeld(900, 1), page_size);
      config.groups = {group};
      config.chunked_prefill_size = -1;
      Harness h(config);
      std::vector<TokenId> text = Count(0, 150);
      for (RequestId id = 1; id < 12; ++id) {
        h.Step({.arrivals = {MakeArrival(id, text, 5 + static_cast<int>(7 * id))}});
        h.RunToEnd();
        ASSERT_TRUE(h.events[id].finished) << id;
        ASSERT_TRUE(h.events[id].finished->status.ok()) << h.events[id].finished->status;
        text.insert(text.end(), h.events[id].tokens.begin(), h.events[id].tokens.end());
        for (TokenId token : Count(static_cast<TokenId>(1000 + 10 * id), 1 + id % 5))
          text.push_back(token);
      }
    }
  }
}

TEST(SchedulerTest, BadSettingsAreNamed) {
  for (auto [field, change] : std::map<std::string, void (*)(SchedulerConfig&)>{
           {"max_running", [](SchedulerConfig& c) { c.max_running = 0; }},
           {"max_inflight", [](SchedulerConfig& c) { c.max_inflight = 0; }},
           {"chunked_prefill_size", [](SchedulerConfig& c) { c.chunked_prefill_size = 0; }},
           {"page_size", [](SchedulerConfig& c) { c.page_size = 0; }},
           {"pool", [](SchedulerConfig& c) { c.pages_per_group.clear(); }},
           {"eviction policy", [](SchedulerConfig& c) { c.eviction_policy = "x"; }},
           {"schedule policy", [](SchedulerConfig& c) { c.policy = "x"; }}}) {
    SchedulerConfig config = SmallConfig();
    change(config);
    const auto made = Scheduler::Create(config);
    ASSERT_FALSE(made.ok()) << field;
    EXPECT_NE(Message(made.status()).find(field), std::string::npos) << made.status();
  }
}

}  // namespace
}  // namespace banyan
