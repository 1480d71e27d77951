// SPDX-License-Identifier: Apache-2.0
// Models whose keys depend on how long the text is: what is shared, and what is computed anew.
#include "sched/scheduler_harness.h"

namespace banyan {
namespace {

SchedulerConfig RopeConfig(const RopeLengths& lengths, int max_inflight = 1) {
  SchedulerConfig config = SmallConfig(400);
  config.rope_lengths = lengths;
  config.max_inflight = max_inflight;
  return config;
}

// Where a row begins, by plan: its request, rope length and the positions from the cache.
std::vector<RowOpened> Openings(const Harness& h) {
  std::vector<RowOpened> all;
  for (const StepPlan& plan : h.plans) {
    all.insert(all.end(), plan.opened.begin(), plan.opened.end());
  }
  return all;
}

TEST(RopeLengthsTest, ALongPromptDoesNotUseAShortOnesPrefix) {
  Harness h(RopeConfig({.limit = 40}));
  const auto run = [&](RequestId id, int length) {
    h.Step({.arrivals = {MakeArrival(id, Count(0, length), 1)}});
    h.RunToEnd();
    return h.events[id].cached_tokens;
  };
  EXPECT_EQ(run(1, 30), 0);
  EXPECT_EQ(run(2, 40), 30);
  EXPECT_EQ(run(3, 50), 0);   // beyond the limit
  EXPECT_EQ(run(4, 60), 50);  // all of those are alike
  EXPECT_EQ(run(5, 35), 34);
  const std::vector<RowOpened> rows = Openings(h);
  ASSERT_EQ(rows.size(), 5u);
  for (int i : {0, 1, 4}) EXPECT_EQ(rows[i].rope_length, 0);
  for (int i : {2, 3}) EXPECT_EQ(rows[i].rope_length, 41);
}

TEST(RopeLengthsTest, WithDynamicScalingEachLengthBeyondIsItsOwn) {
  Harness h(RopeConfig({.limit = 40, .exact = true}));
  const std::pair<int, int> lengths_and_cached[] = {{50, 0}, {51, 0}, {50, 49}, {40, 0}, {30, 29}};
  RequestId id = 0;
  for (const auto& [length, cached] : lengths_and_cached) {
    h.Step({.arrivals = {MakeArrival(++id, Count(0, length), 1)}});
    h.RunToEnd();
    EXPECT_EQ(h.events[id].cached_tokens, cached) << length;
    EXPECT_EQ(Openings(h).back().rope_length, length > 40 ? length : 0);
  }
}

TEST(RopeLengthsTest, NoNamespaceFromOutsideReadsLikeARopeLength) {
  Harness h(RopeConfig({.limit = 40}));
  const auto run = [&](RequestId id, std::string name, int length) {
    Arrival arrival = MakeArrival(id, Count(0, length), 1);
    arrival.cache_namespace = std::move(name);
    h.Step({.arrivals = {arrival}});
    h.RunToEnd();
    return h.events[id].cached_tokens;
  };
  EXPECT_EQ(run(1, "", 50), 0);
  EXPECT_EQ(run(2, "41:", 30), 0);
  EXPECT_EQ(run(3, "41:", 40), 30);
}

// The token at position 40 and all before it are computed in a row for long texts, once; nothing
// at or beyond 40 is ever planned in the short one.
TEST(RopeLengthsTest, WhatGrowsBeyondIsComputedAnew) {
  for (const int inflight : {1, 2}) {
    for (const bool mixed : {true, false}) {
      SchedulerConfig config = RopeConfig({.limit = 40, .recompute = true}, inflight);
      config.mixed_chunk = mixed;
      Harness h(config, inflight - 1);
      h.Step({.arrivals = {MakeArrival(1, Count(0, 35), 20), MakeArrival(2, Count(500, 5), 60)}});
      h.RunToEnd();
      for (const auto& [id, outputs] : {std::pair{1, 20}, {2, 60}}) {
        EXPECT_EQ(h.events[id].tokens.size(), static_cast<size_t>(outputs));
        EXPECT_EQ(h.events[id].retractions, 1);
      }
      std::map<RowId, int32_t> rope_lengths;
      for (const StepPlan& plan : h.plans) {
        for (const RowOpened& opened : plan.opened) {
          rope_lengths[opened.row] = opened.rope_length;
          if (opened.rope_length > 0) {
            EXPECT_EQ(opened.length, 0);
            EXPECT_FALSE(opened.generated.empty());
          }
        }
        for (const Span& span : plan.spans) {
          if (rope_lengths[span.row] == 0) {
            EXPECT_LE(span.length_bound, 40);
          }
        }
      }
    }
  }
}

TEST(RopeLengthsTest, WhatEndsAtTheLimitIsNotComputedAnew) {
  for (const int inflight : {1, 2}) {
    Harness h(RopeConfig({.limit = 40, .recompute = true}, inflight), inflight - 1);
    h.Step({.arrivals = {MakeArrival(1, Count(0, 35), 6)}});  // its last output is no input
    h.RunToEnd();
    EXPECT_EQ(h.events[1].retractions, 0);
  }
}

// Without that, a text goes on in its row.
TEST(RopeLengthsTest, OtherwiseItGoesOn) {
  Harness h(RopeConfig({.limit = 40}));
  h.Step({.arrivals = {MakeArrival(1, Count(0, 35), 20)}});
  h.RunToEnd();
  EXPECT_EQ(h.events[1].retractions, 0);
  EXPECT_EQ(Openings(h).size(), 1u);
}

// Retracted with its 41st token still on the way, it goes on as a long text.
TEST(RopeLengthsTest, RetractedAtTheLimit) {
  Harness h(RopeConfig({.limit = 40, .recompute = true}, 2), 1);
  h.Step({.arrivals = {MakeArrival(1, Count(0, 38), 20)}});
  for (int i = 0; i < 2; ++i) h.Step();  // positions up to 40 are planned
  h.Step({.pause = PauseMode::kRetract});
  h.Step({.resume = true});
  h.RunToEnd();
  EXPECT_EQ(h.events[1].retractions, 1);
  EXPECT_EQ(Openings(h).back().rope_length, 41);
  EXPECT_EQ(h.events[1].tokens.size(), 20u);
}

}  // namespace
}  // namespace banyan
