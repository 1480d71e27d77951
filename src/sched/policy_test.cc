// SPDX-License-Identifier: Apache-2.0
// Who is admitted when: queue policies, priorities, fair shares, bounded queues.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "base/retry_after.h"
#include "sched/drain_rate.h"
#include "sched/queue.h"
#include "sched/scheduler_harness.h"

namespace banyan {
namespace {

using Ids = std::vector<RequestId>;

SchedulerConfig OneRow(std::string policy) {
  SchedulerConfig config = SmallConfig(400);
  config.max_running = 1;
  config.policy = std::move(policy);
  return config;
}

// A prompt that begins with `trunk` tokens of a known text.
std::vector<TokenId> Branch(TokenId text, int trunk, TokenId rest) {
  std::vector<TokenId> tokens = Count(text, trunk);
  for (TokenId token : Count(rest, 3)) tokens.push_back(token);
  return tokens;
}

TEST(PolicyTest, LongestPrefixFirst) {
  Harness h(OneRow("lpm"));
  h.Step({.arrivals = {MakeArrival(1, Count(1000, 40), 2)}});
  h.RunToEnd();
  h.Step(
      {.arrivals = {MakeArrival(2, Branch(1000, 5, 1), 2), MakeArrival(3, Branch(1000, 30, 4), 2),
                    MakeArrival(4, Count(1, 9), 2), MakeArrival(5, Branch(1000, 20, 7), 2)}});
  h.RunToEnd();
  EXPECT_EQ(h.admitted, (Ids{1, 3, 5, 2, 4}));
}

TEST(PolicyTest, LongestPrefixFollowsTheCacheWhileTheyWait) {
  Harness h(OneRow("lpm"));
  // Nothing is in the cache yet; what the first one leaves there makes the last one the better.
  h.Step({.arrivals = {MakeArrival(1, Count(1000, 40), 2)}});
  h.Step({.arrivals = {MakeArrival(2, Count(1, 9), 2), MakeArrival(3, Count(50, 9), 2),
                       MakeArrival(4, Branch(1000, 20, 7), 2)}});
  h.RunToEnd();
  EXPECT_EQ(h.admitted, (Ids{1, 4, 2, 3}));
}

TEST(PolicyTest, HeaviestSubtreeFirst) {
  SchedulerConfig config = OneRow("dfs-weight");
  config.max_running = 8;  // all in one turn
  Harness h(config);
  h.Step({.arrivals = {MakeArrival(1, Count(1000, 10), 1), MakeArrival(2, Count(2000, 10), 1)}});
  h.RunToEnd();
  h.Step(
      {.arrivals = {MakeArrival(3, Count(1, 9), 2), MakeArrival(4, Branch(1000, 9, 1), 2),
                    MakeArrival(5, Branch(2000, 9, 1), 2), MakeArrival(6, Branch(2000, 9, 4), 2),
                    MakeArrival(7, Branch(2000, 9, 7), 2), MakeArrival(8, Branch(1000, 9, 7), 2)}});
  h.RunToEnd();
  EXPECT_EQ(h.admitted, (Ids{1, 2, 5, 6, 7, 4, 8, 3}));
}

TEST(PolicyTest, LongestOutputFirst) {
  Harness h(OneRow("lof"));
  h.Step({.arrivals = {MakeArrival(1, Count(0, 5), 4), MakeArrival(2, Count(10, 5), 2),
                       MakeArrival(3, Count(20, 5), 7), MakeArrival(4, Count(30, 5), 7)}});
  h.RunToEnd();
  EXPECT_EQ(h.admitted, (Ids{3, 4, 1, 2}));
}

TEST(PolicyTest, RandomIsAnyOrderAndTheSameEachTime) {
  std::set<Ids> orders;
  for (int run = 0; run < 2; ++run) {
    Harness h(OneRow("random"));
    SchedulerInput input;
    for (RequestId id = 1; id <= 7; ++id) {
      input.arrivals.push_back(MakeArrival(id, Count(static_cast<TokenId>(10 * id), 5), 2));
    }
    h.Step(std::move(input));
    h.RunToEnd();
    Ids sorted = h.admitted;
    EXPECT_FALSE(std::is_sorted(sorted.begin(), sorted.end()));
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(sorted, (Ids{1, 2, 3, 4, 5, 6, 7}));
    orders.insert(h.admitted);
  }
  EXPECT_EQ(orders.size(), 1u);
}

Arrival Keyed(RequestId id, std::string key, int outputs) {
  Arrival arrival = MakeArrival(id, Count(static_cast<TokenId>(20 * id), 5), outputs);
  arrival.routing_key = std::move(key);
  return arrival;
}

TEST(PolicyTest, KeysThatRunComeFirst) {
  SchedulerConfig config = OneRow("routing-key");
  config.max_running = 3;
  Harness h(config);
  h.Step({.arrivals = {Keyed(1, "a", 20), Keyed(2, "b", 20), Keyed(3, "b", 4)}});
  // c does not run; of a one row runs, of b two until request 3 ends, then one, and a is before b.
  h.Step({.arrivals = {Keyed(4, "c", 4), Keyed(5, "b", 4), Keyed(6, "a", 4), Keyed(7, "", 4)}});
  h.RunToEnd();
  EXPECT_EQ(h.admitted, (Ids{1, 2, 3, 6, 5, 4, 7}));
}

TEST(RoutingKeyTest, RequestsAreCountedByKey) {
  SchedulerConfig config = OneRow("fcfs");
  config.max_running = 3;
  Harness h(config);
  using Keys = RoutingKeyLoad::Keys;
  h.Step({.arrivals = {Keyed(1, "a", 4), Keyed(2, "a", 9), Keyed(3, "b", 4), Keyed(4, "a", 4),
                       Keyed(5, "c", 9), Keyed(6, "", 4)}});
  const auto load = [&] { return h.scheduler->stats().routing_keys; };
  EXPECT_EQ(load().running_keys(), 2);
  EXPECT_EQ(load().running, (Keys{1, 1})) << "one of b, two of a";
  EXPECT_EQ(load().all, (Keys{2, 0, 1})) << "three of a";
  h.Step({.aborts = {4}});
  EXPECT_EQ(load().all, (Keys{2, 1}));
  h.Step({.pause = PauseMode::kRetract});
  EXPECT_EQ(load().running_keys(), 0);
  EXPECT_EQ(load().all, (Keys{2, 1}));
  h.Step({.resume = true});
  h.RunToEnd();
  EXPECT_EQ(load().running, Keys());
  EXPECT_EQ(load().all, Keys());
}

TEST(RoutingKeyTest, ManyRequestsOfAKey) {
  RoutingKeyCounts counts;
  for (int i = 0; i < 201; ++i) counts.Add("a", 1, 1);
  counts.Add("b", 200, 0);
  EXPECT_EQ(counts.load().all, (RoutingKeyLoad::Keys{0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}));
  EXPECT_EQ(counts.load().running_keys(), 1);
}

TEST(PolicyTest, RequestsWithoutAKeyAreNotOneKey) {
  SchedulerConfig config = OneRow("routing-key");
  config.max_running = 3;
  Harness h(config);
  // Two without a key run, and one of a.
  h.Step({.arrivals = {Keyed(1, "", 20), Keyed(2, "", 20), Keyed(3, "a", 4)}});
  h.Step({.arrivals = {Keyed(4, "b", 4), Keyed(5, "", 4), Keyed(6, "c", 4), Keyed(7, "", 4)}});
  h.RunToEnd();
  EXPECT_EQ(h.admitted, (Ids{1, 2, 3, 4, 5, 6, 7}));
}

TEST(PolicyTest, TheOldestIsPassedOverSevenTimesAtMost) {
  for (const char* policy : {"lpm", "dfs-weight", "lof", "random", "routing-key"}) {
    Harness h(OneRow(policy));
    // The oldest is the worst for each of them, and better ones keep coming.
    h.Step({.arrivals = {MakeArrival(1, Count(1000, 20), 2)}});
    RequestId next = 3;
    SchedulerInput input;
    input.arrivals.push_back(MakeArrival(2, Count(1, 3), 1));
    for (int step = 0; step < 400 && !h.events[2].finished; ++step) {
      while (h.events.size() + input.arrivals.size() < h.admitted.size() + 4) {
        Arrival arrival = MakeArrival(next, Branch(1000, 15, static_cast<TokenId>(next)), 2);
        arrival.routing_key = "busy";
        input.arrivals.push_back(std::move(arrival));
        h.events[next++];
      }
      h.Step(std::exchange(input, {}));
    }
    const auto at = std::find(h.admitted.begin(), h.admitted.end(), RequestId{2});
    EXPECT_LE(at - h.admitted.begin(), 8) << policy;
  }
}

Arrival Prioritized(RequestId id, int priority, int length = 5, int outputs = 4) {
  Arrival arrival = MakeArrival(id, Count(static_cast<TokenId>(50 * id), length), outputs);
  arrival.priority = priority;
  return arrival;
}

TEST(PriorityTest, BetterPrioritiesFirst) {
  for (const bool low_first : {false, true}) {
    SchedulerConfig config = OneRow("fcfs");
    config.priority_scheduling = true;
    config.low_priority_first = low_first;
    Harness h(config);
    h.Step({.arrivals = {Prioritized(1, 0), Prioritized(2, 5), Prioritized(3, -3),
                         Prioritized(4, 5), Prioritized(5, INT32_MIN)}});
    h.RunToEnd();
    EXPECT_EQ(h.admitted, low_first ? (Ids{5, 3, 1, 2, 4}) : (Ids{2, 4, 1, 3, 5}));
  }
}

// Better ones come before it; of its equals, those with more outputs keep coming too.
TEST(PriorityTest, EqualsPassOneOverSevenTimesAtMost) {
  SchedulerConfig config = OneRow("lof");
  config.priority_scheduling = true;
  config.priority_preemption = false;
  Harness h(config);
  h.Step({.arrivals = {Prioritized(1, 5)}});
  RequestId next = 3;
  SchedulerInput input = {.arrivals = {Prioritized(2, 5, 5, 1)}};
  int equals = 0;
  for (int step = 0; step < 400 && !h.events[2].finished; ++step) {
    while (h.events.size() + input.arrivals.size() < h.admitted.size() + 4) {
      const bool better = next % 5 == 0;
      equals += !better;
      input.arrivals.push_back(Prioritized(next, better ? 6 : 5));
      h.events[next++];
    }
    h.Step(std::exchange(input, {}));
  }
  const auto at = std::find(h.admitted.begin(), h.admitted.end(), RequestId{2});
  ASSERT_NE(at, h.admitted.end()) << equals << " equals have come";
  const auto passed = std::count_if(h.admitted.begin(), at, [](RequestId id) { return id % 5; });
  EXPECT_LE(passed, 8);
}

TEST(PriorityTest, TakesTheRowOfAMuchWorseOne) {
  for (const int priority : {10, 11}) {
    for (const bool preemption : {true, false}) {
      SchedulerConfig config = OneRow("fcfs");
      config.priority_scheduling = true;
      config.priority_preemption = preemption;
      Harness h(config);
      h.Step({.arrivals = {Prioritized(1, 0, 5, 20)}});
      for (int i = 0; i < 5; ++i) h.Step();
      h.Step({.arrivals = {Prioritized(2, priority)}});
      h.RunToEnd();
      const bool taken = priority > 10 && preemption;
      EXPECT_EQ(h.events[1].retractions, taken ? 1 : 0);
      EXPECT_EQ(h.events[1].tokens, Count(105, 20));
      EXPECT_EQ(h.events[2].tokens, Count(105, 4));
    }
  }
}

TEST(PriorityTest, TakesThePagesOfJustEnoughWorseOnes) {
  SchedulerConfig config = SmallConfig(60);
  config.priority_scheduling = true;
  config.max_inflight = 1;
  Harness h(config);
  // Two that fill the cache, of which the second is worse, and one that needs half of it.
  h.Step({.arrivals = {Prioritized(1, 1, 15, 14), Prioritized(2, 0, 15, 14)}});
  for (int i = 0; i < 3; ++i) h.Step();
  h.Step({.arrivals = {Prioritized(3, 50, 12, 8)}});
  h.RunToEnd();
  EXPECT_EQ(h.events[1].retractions, 0);
  EXPECT_EQ(h.events[2].retractions, 1);
  EXPECT_EQ(h.events[2].tokens, Count(115, 14));
  EXPECT_EQ(h.events[3].retractions, 0);
  EXPECT_LT(std::find(h.admitted.begin(), h.admitted.end(), 3u) - h.admitted.begin(), 3);
}

// How many plans are made until request `id`, which comes now, has a row.
int PlansUntilAdmitted(Harness& h, Arrival arrival) {
  const RequestId id = arrival.id;
  const size_t plans = h.plans.size();
  SchedulerInput input;
  input.arrivals.push_back(std::move(arrival));
  const auto waits = [&] { return std::count(h.admitted.begin(), h.admitted.end(), id) == 0; };
  for (int i = 0; i < 100 && waits(); ++i) h.Step(std::exchange(input, {}));
  return static_cast<int>(h.plans.size() - plans);
}

SchedulerConfig Overlapped(int64_t pages, int rows) {
  SchedulerConfig config = SmallConfig(pages);
  config.priority_scheduling = true;
  config.max_running = rows;
  config.max_inflight = 2;
  return config;
}

TEST(PriorityTest, WhereThereIsRoomNobodyWaits) {
  for (const int priority : {5, 100}) {
    Harness h(Overlapped(4000, 8), 1);
    h.Step({.arrivals = {Prioritized(1, 0, 5, 200)}});
    for (int i = 0; i < 10; ++i) h.Step();
    EXPECT_EQ(PlansUntilAdmitted(h, Prioritized(2, priority)), 1) << priority;
    h.RunToEnd();
    EXPECT_EQ(h.events[1].retractions, 0);
  }
}

TEST(PriorityTest, ARowThatIsTakenIsUsedAtOnce) {
  Harness h(Overlapped(4000, 2), 1);
  h.Step({.arrivals = {Prioritized(1, 0, 5, 200), Prioritized(2, 0, 5, 200)}});
  for (int i = 0; i < 10; ++i) h.Step();
  EXPECT_EQ(PlansUntilAdmitted(h, Prioritized(3, 100)), 1);
  h.RunToEnd();
  EXPECT_EQ(h.events[1].retractions, 0);
  EXPECT_EQ(h.events[2].retractions, 1);
  EXPECT_EQ(h.events[2].tokens, Count(105, 200));
}

TEST(PriorityTest, NobodyWaitsForTheEndOfALongPromptThatMattersLess) {
  SchedulerConfig config = SmallConfig(400);
  config.chunked_prefill_size = 8;
  config.priority_scheduling = true;
  for (const int priority : {0, 5}) {
    Harness h(config);
    h.Step({.arrivals = {Prioritized(1, 0, 200)}});
    const int plans = PlansUntilAdmitted(h, Prioritized(2, priority, 12));
    if (priority > 0) {
      EXPECT_EQ(plans, 1);
    } else {
      EXPECT_GE(plans, 20);
    }
    h.RunToEnd();
    EXPECT_EQ(h.events[1].tokens, Count(300, 4));
    EXPECT_EQ(h.events[2].tokens, Count(112, 4));
  }
}

TEST(PriorityTest, NobodyFollowsOneThatMattersLess) {
  SchedulerConfig config = SmallConfig(400);
  config.chunked_prefill_size = 8;
  config.priority_scheduling = true;
  for (const int priority : {0, 5}) {
    Harness h(config);
    h.Step({.arrivals = {Prioritized(1, 0, 100)}});
    Arrival same = MakeArrival(2, Count(50, 60), 4);
    same.priority = priority;
    const int plans = PlansUntilAdmitted(h, std::move(same));
    if (priority > 0) {
      EXPECT_EQ(plans, 1);
    } else {
      EXPECT_GE(plans, 10);
    }
    h.RunToEnd();
  }
}

TEST(PriorityTest, ARefusedOneBlocksNoneThatMattersMore) {
  SchedulerConfig config = SmallConfig(60);
  config.priority_scheduling = true;
  config.priority_preemption = false;
  for (const int priority : {0, 5}) {
    Harness h(config);
    h.Step({.arrivals = {Prioritized(1, 0, 20, 30)}});
    h.Step({.arrivals = {Prioritized(2, 1, 45)}});
    const int plans = PlansUntilAdmitted(h, Prioritized(3, priority));
    if (priority > 1) {
      EXPECT_EQ(plans, 1);
    } else {
      EXPECT_GT(plans, 5);
    }
    h.RunToEnd();
  }
}

TEST(PriorityTest, PagesThatAreTakenAreUsedWhenTheyAreBack) {
  Harness h(Overlapped(150, 8), 1);
  h.Step({.arrivals = {Prioritized(1, 0, 15, 55), Prioritized(2, 0, 15, 55)}});
  for (int i = 0; i < 10; ++i) h.Step();
  EXPECT_LE(PlansUntilAdmitted(h, Prioritized(3, 100, 50, 8)), 4);
  h.RunToEnd();
  EXPECT_EQ(h.events[1].retractions, 0);
  EXPECT_EQ(h.events[2].retractions, 1);
}

// While a better one's prompt is computed token by token, a row that decodes now and then takes the
// last page. To make room for that row's next it is put back itself, which leaves enough for the
// prompt.
TEST(PriorityTest, RoomThatADecodingRowHasLeftIsUsed) {
  SchedulerConfig config = SmallConfig(40);
  config.mixed_chunk = false;
  config.chunked_prefill_size = 1;
  config.schedule_conservativeness = 0;
  config.priority_scheduling = true;
  Harness h(config);
  h.Step({.arrivals = {Prioritized(1, 0, 10, 20)}});
  for (int i = 0; i < 11; ++i) h.Step();
  h.Step({.arrivals = {Prioritized(2, 5, 26, 1)}});
  h.RunToEnd();
  for (const RequestId id : {1, 2}) {
    ASSERT_TRUE(h.events[id].finished) << id;
    EXPECT_TRUE(h.events[id].finished->status.ok()) << h.events[id].finished->status;
  }
  EXPECT_GT(h.events[1].retractions, 0);
}

// Of the pages that could be evicted, most are of the very prefix that it shares.
TEST(PriorityTest, WhatItSharesIsNoRoomForIt) {
  Harness h(Overlapped(60, 8), 1);
  h.Step({.arrivals = {Prioritized(1, 0, 30, 1)}});
  h.RunToEnd();
  h.Step({.arrivals = {Prioritized(2, 0, 5, 40)}});
  for (int i = 0; i < 3; ++i) h.Step();
  Arrival arrival = Prioritized(3, 100, 0, 20);
  arrival.prompt = Count(50, 35);
  EXPECT_LE(PlansUntilAdmitted(h, arrival), 4);
  h.RunToEnd();
  EXPECT_EQ(h.events[2].retractions, 1);
  EXPECT_EQ(h.events[3].cached_tokens, 30);
}

TEST(PriorityTest, AFullQueueGivesUpItsLeast) {
  SchedulerConfig config = OneRow("fcfs");
  config.priority_scheduling = true;
  config.max_queued = 2;
  Harness h(config);
  h.Step({.arrivals = {Prioritized(1, 0, 5, 30)}});
  h.Step({.arrivals = {Prioritized(2, 3), Prioritized(3, 1), Prioritized(4, 1), Prioritized(5, 2),
                       Prioritized(6, 2)}});
  // No better than the least: refused. Better: the least goes, the newest of them.
  EXPECT_EQ(h.events[4].finished->status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(h.events[3].finished->status.code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(RetryAfter(h.events[3].finished->status).has_value());
  EXPECT_EQ(h.events[6].finished->status.code(), StatusCode::kResourceExhausted);
  h.RunToEnd();
  EXPECT_EQ(h.admitted, (Ids{1, 2, 5}));
}

TEST(PriorityTest, NobodyIsEndedForOneThatIsRefused) {
  SchedulerConfig config = OneRow("fcfs");
  config.priority_scheduling = true;
  config.max_queued_tokens = 30;
  Harness h(config);
  h.Step({.arrivals = {Prioritized(1, 0, 5, 30)}});
  h.Step({.arrivals = {Prioritized(2, 8, 20), Prioritized(3, 1, 5), Prioritized(4, 2, 5)}});
  // 15 tokens are needed and the worse ones have 10; for 5 the least is enough.
  h.Step({.arrivals = {Prioritized(5, 7, 15), Prioritized(6, 7, 5)}});
  EXPECT_EQ(h.events[5].finished->status.code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(RetryAfter(h.events[5].finished->status).has_value());
  EXPECT_EQ(h.events[3].finished->status.code(), StatusCode::kResourceExhausted);
  h.RunToEnd();
  EXPECT_EQ(h.admitted, (Ids{1, 2, 6, 4}));
}

TEST(QueueBoundTest, ByRequestsAndByTokens) {
  SchedulerConfig config = OneRow("fcfs");
  config.max_queued_tokens = 20;
  Harness h(config);
  h.Step({.arrivals = {MakeArrival(1, Count(0, 30), 5)}});  // alone any length may wait
  h.Step({.arrivals = {MakeArrival(2, Count(50, 15), 5), MakeArrival(3, Count(70, 6), 5),
                       MakeArrival(4, Count(90, 5), 5)}});
  EXPECT_EQ(h.events[3].finished->status.code(), StatusCode::kResourceExhausted);
  h.RunToEnd();
  EXPECT_EQ(h.admitted, (Ids{1, 2, 4}));
}

// Two clients, one of whom sends ten times as much, get equal tokens while both wait.
TEST(FairShareTest, TenToOneIsEqualWhileBothWait) {
  SchedulerConfig config = SmallConfig(4000, 4);
  config.fair_share = true;
  Harness h(config);
  std::mt19937 random(7);
  std::map<RequestId, std::string> keys;
  SchedulerInput input;
  for (RequestId id = 1; id <= 2200; ++id) {
    Arrival arrival = MakeArrival(id, Count(static_cast<TokenId>(200 * id), 5 + random() % 60), 1);
    arrival.sampling.max_new_tokens = static_cast<int>(1 + random() % 40);
    // The modest one comes late, when the other has been served for a while.
    keys[id] = arrival.fair_key = id > 500 && id % 9 == 0 ? "modest" : "greedy";
    input.arrivals.push_back(std::move(arrival));
  }
  std::vector<Arrival> late(input.arrivals.begin() + 500, input.arrivals.end());
  input.arrivals.resize(500);
  std::map<RowId, std::string> rows;
  std::map<std::string, int64_t> served;
  int modest = 0;
  for (int step = 0; step < 5000 && modest < 160; ++step) {
    if (step == 100) input.arrivals = std::move(late);
    const SchedulerOutput output = h.Step(std::exchange(input, {}));
    if (!output.plan || step < 100) continue;
    for (const RowOpened& opened : output.plan->opened) {
      rows[opened.row] = keys[opened.request];
      modest += keys[opened.request] == "modest";
    }
    for (const Span& span : output.plan->spans) served[rows[span.row]] += span.num_tokens;
  }
  EXPECT_GE(modest, 160);
  EXPECT_NEAR(static_cast<double>(served["greedy"]) / static_cast<double>(served["modest"]), 1.0,
              0.1);
}

TEST(FairShareTest, UsersWhoHadTheSameGoByArrival) {
  SchedulerConfig config = OneRow("fcfs");
  config.fair_share = true;
  Harness h(config);
  SchedulerInput input;
  for (const char* user : {"m", "z", "a", "k"}) {
    Arrival arrival = MakeArrival(input.arrivals.size() + 1, Count(1, 5), 2);
    arrival.fair_key = user;
    input.arrivals.push_back(std::move(arrival));
  }
  h.Step(std::move(input));
  h.RunToEnd();
  EXPECT_EQ(h.admitted, (Ids{1, 2, 3, 4}));
}

// A key for each request, as with a new user each time: what is kept of those that are gone is
// bounded, and who has got much still comes after who has got nothing.
TEST(FairShareTest, KeysThatDoNotComeBackAreForgotten) {
  auto cache = PrefixCache::Create({.groups = {{.type = CacheKindType::kFull, .name = "full"}},
                                    .pages_per_group = {64},
                                    .page_size = 1});
  ASSERT_TRUE(cache.ok()) << cache.status();
  WaitingQueue queue({.fair_share = true}, **cache);
  uint64_t next = 0;
  const auto enter = [&](std::string key) {
    Arrival arrival = MakeArrival(next, Count(0, 5), 1);
    arrival.fair_key = std::move(key);
    auto request = std::make_unique<Request>(std::move(arrival), next++);
    queue.Enter(request.get());
    queue.Add(request.get());
    return request;
  };
  const auto serve = [&](Request* request, int64_t tokens) {
    queue.Admit(request, tokens);
    queue.LeftRow(request, tokens);
    queue.Leave(request);
  };
  const auto runs = enter("runs");
  queue.Admit(runs.get(), 10);
  serve(enter("greedy").get(), 1'000'000);
  for (int i = 0; i < 5000; ++i) {
    serve(enter(std::to_string(i)).get(), 1 + i % 100);
    ASSERT_LE(queue.num_groups(), 200);
  }
  const auto greedy = enter("greedy"), fresh = enter("fresh");
  EXPECT_EQ(queue.First(), fresh.get());
  serve(fresh.get(), 10);
  serve(greedy.get(), 10);
  queue.LeftRow(runs.get(), 10);
  queue.Leave(runs.get());
  EXPECT_EQ(queue.num_groups(), 0);
}

// Followers are taken out from anywhere among them.
TEST(QueueTest, FollowersLeaveInAnyOrder) {
  auto cache = PrefixCache::Create({.groups = {{.type = CacheKindType::kFull, .name = "full"}},
                                    .pages_per_group = {64},
                                    .page_size = 1});
  ASSERT_TRUE(cache.ok()) << cache.status();
  for (const QueuePolicy policy :
       {QueuePolicy::kFcfs, QueuePolicy::kRandom, QueuePolicy::kDfsWeight}) {
    WaitingQueue queue({.policy = policy}, **cache);
    std::vector<std::unique_ptr<Request>> requests;
    for (RequestId id = 0; id < 6; ++id) {
      requests.push_back(std::make_unique<Request>(MakeArrival(id, Count(0, 5), 1), id));
      queue.Enter(requests.back().get());
      queue.Add(requests.back().get());
    }
    Request* const leader = requests[0].get();
    queue.Admit(leader, 5);
    for (int i = 1; i < 6; ++i) queue.Follow(requests[i].get(), leader);
    EXPECT_EQ(queue.First(), nullptr);
    for (const int gone : {2, 5, 1}) queue.Remove(requests[gone].get());
    std::set<Request*> left(leader->followers.begin(), leader->followers.end());
    EXPECT_EQ(left, (std::set<Request*>{requests[3].get(), requests[4].get()}));
    queue.ReleaseFollowers(leader);
    while (!left.empty()) {
      Request* const first = queue.First();
      ASSERT_EQ(left.erase(first), 1u);
      queue.Remove(first);
    }
    EXPECT_TRUE(queue.empty());
  }
}

// A departure in five seconds: ten seconds alone would tell nothing.
TEST(OverloadTest, ASlowQueueIsRememberedByItsDepartures) {
  std::mt19937 random(5);
  std::exponential_distribution<double> gap(0.2);
  DrainRate rate;
  TimePoint now = TimePoint() + std::chrono::hours(1);
  rate.Observe(now, 0, true);
  int wrong = 0;
  for (int departure = 0; departure < 2000; ++departure) {
    const double seconds = gap(random);
    for (int part = 0; part < 50; ++part) {  // steps in between, with nobody leaving
      now += std::chrono::microseconds(static_cast<int64_t>(seconds * 1e6 / 50));
      rate.Observe(now, part == 49 ? 1 : 0, true);
    }
    const double told = rate.Seconds(4);  // 20 s on average
    wrong += departure > 50 && (told < 10 || told > 40);
  }
  EXPECT_LE(wrong, 40);
}

// One leaves in a tenth of a second, then nobody for ten minutes.
TEST(OverloadTest, APauseIsNoSlowness) {
  SchedulerConfig config = OneRow("fcfs");
  config.max_queued = 100;
  Harness h(config);
  TimePoint now = TimePoint() + std::chrono::hours(1);
  RequestId next = 1;
  const auto step = [&](int milliseconds, SchedulerInput input) {
    input.now = now += std::chrono::milliseconds(milliseconds);
    for (int i = 0; i < 3; ++i, ++next) input.arrivals.push_back(MakeArrival(next, {1, 2, 3}, 1));
    h.Step(std::move(input));
  };
  for (int i = 0; i < 200; ++i) step(100, {});
  step(0, {.pause = PauseMode::kInPlace});
  step(600'000, {.resume = true});
  const auto seconds = RetryAfter(h.events[next - 1].finished.value().status);
  ASSERT_TRUE(seconds.has_value());
  EXPECT_GE(*seconds, 5);
  EXPECT_LE(*seconds, 40);
}

// Who gives up leaves the queue too: one in a second is served, and four give up.
TEST(OverloadTest, ThoseThatGiveUpMakeTheQueueShorter) {
  SchedulerConfig config = OneRow("fcfs");
  config.max_queued = 100;
  Harness h(config);
  const TimePoint start = TimePoint() + std::chrono::hours(1);
  RequestId next = 1, oldest = 1;
  for (int i = 0; i < 100; ++i) {
    SchedulerInput input;
    input.now = start + std::chrono::milliseconds(500 * i);  // an output in a step, two a request
    for (int j = 0; j < 10; ++j, ++next) input.arrivals.push_back(MakeArrival(next, {1, 2}, 2));
    for (int given_up = 0; given_up < 2 && oldest < next; ++oldest) {
      const bool waits = !h.events[oldest].finished && i > 0 &&
                         std::count(h.admitted.begin(), h.admitted.end(), oldest) == 0;
      if (!waits) continue;
      input.aborts.push_back(oldest);
      ++given_up;
    }
    h.Step(std::move(input));
  }
  const auto seconds = RetryAfter(h.events[next - 1].finished.value().status);
  ASSERT_TRUE(seconds.has_value());
  EXPECT_GE(*seconds, 10) << "five a second";
  EXPECT_LE(*seconds, 40);
}

// One in half a second gets a row; nine others displace some that matter less, and the queue gets
// no shorter by that.
TEST(OverloadTest, ThoseThatAreDisplacedLeaveTheirPlaces) {
  SchedulerConfig config = OneRow("fcfs");
  config.max_queued = 100;
  config.priority_scheduling = true;
  config.priority_preemption = false;
  Harness h(config);
  const TimePoint start = TimePoint() + std::chrono::hours(1);
  RequestId next = 1;
  for (int i = 0; i < 100; ++i) {
    SchedulerInput input;
    input.now = start + std::chrono::milliseconds(500 * i);
    for (int j = 0; j < 10; ++j, ++next) {
      input.arrivals.push_back(MakeArrival(next, {1, 2}, 1));
      input.arrivals.back().priority = static_cast<int>(next);
    }
    h.Step(std::move(input));
  }
  SchedulerInput input;
  input.now = start + std::chrono::seconds(50);
  for (int i = 0; i < 2; ++i) input.arrivals.push_back(MakeArrival(next++, {1, 2}, 1));
  h.Step(std::move(input));
  const auto seconds = RetryAfter(h.events[next - 1].finished.value().status);
  ASSERT_TRUE(seconds.has_value());
  EXPECT_GE(*seconds, 25) << "two a second";
  EXPECT_LE(*seconds, 100);
}

// Ten times more comes than is served, for a minute: the queue stays at its bound, and whoever is
// refused is told when those that waited then will have left the queue.
TEST(OverloadTest, RetryAfterIsRightWithinAFactorOfTwo) {
  SchedulerConfig config = SmallConfig(4000, 4);
  config.max_queued = 100;
  Harness h(config);
  std::mt19937 random(3);
  const TimePoint start = TimePoint() + std::chrono::hours(1);
  struct Refused {
    double at;
    int retry_after;
    RequestId last;  // of those that waited
  };
  std::vector<Refused> refused;
  std::map<RequestId, double> admitted_at;
  RequestId next = 1, last_accepted = 0, seen = 1;
  for (int step = 0; step < 1800; ++step) {
    const double now = step * 0.05;
    SchedulerInput input;
    input.now = start + std::chrono::milliseconds(50 * step);
    for (int i = 0; i < 4 && now < 60; ++i) {
      Arrival arrival = MakeArrival(next, Count(static_cast<TokenId>(100 * next), 30), 1);
      arrival.sampling.max_new_tokens = static_cast<int>(5 + random() % 30);
      ++next;
      input.arrivals.push_back(std::move(arrival));
    }
    const SchedulerOutput output = h.Step(std::move(input));
    EXPECT_LE(h.scheduler->stats().waiting, 100);
    for (const RequestEvent& event : output.events) {
      if (event.admitted) admitted_at[event.id] = now;
    }
    for (; seen < next; ++seen) {
      const RequestId id = seen;
      if (!h.events[id].finished || h.events[id].finished->status.ok()) {
        last_accepted = id;
      } else {
        const auto seconds = RetryAfter(h.events[id].finished->status);
        ASSERT_TRUE(seconds.has_value());
        if (now > 5) refused.push_back({now, *seconds, last_accepted});
      }
    }
  }
  ASSERT_GT(refused.size(), 3000u);
  for (const Refused& one : refused) {
    ASSERT_TRUE(admitted_at.contains(one.last));
    const double took = admitted_at[one.last] - one.at;
    EXPECT_GT(one.retry_after, took / 2) << "at " << one.at;
    EXPECT_LT(one.retry_after, took * 2) << "at " << one.at;
  }
}

}  // namespace
}  // namespace banyan
