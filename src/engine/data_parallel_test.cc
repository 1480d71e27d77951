// SPDX-License-Identifier: Apache-2.0
#include "engine/data_parallel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <numeric>
#include <set>

namespace banyan {
namespace {

using ::testing::HasSubstr;

std::vector<TokenId> Prompt(int length, TokenId first = 'a') {
  std::vector<TokenId> tokens(length);
  for (int i = 0; i < length; ++i) tokens[i] = first + i % 20;
  return tokens;
}

TEST(LoadBalance, TheLeastLoadedIsChosen) {
  const RankLoad loads[] = {{.requests = 2, .tokens = 10}, {1, 50}, {1, 50}, {3, 10}};
  for (const auto& [last, next] : {std::pair(3, 1), {0, 1}, {1, 2}, {2, 1}}) {
    EXPECT_EQ(LeastLoaded(LoadBalance::kTotalRequests, loads, last), next) << last;
    EXPECT_EQ(LeastLoaded(LoadBalance::kTotalTokens, loads, last), 0) << last;
    EXPECT_EQ(LeastLoaded(LoadBalance::kRoundRobin, loads, last), (last + 1) % 4) << last;
  }
  EXPECT_EQ(ParseLoadBalance("auto").value(), LoadBalance::kRoundRobin);
  EXPECT_FALSE(ParseLoadBalance("follow_bootstrap_room").ok());
}

// What it gets it ends at once, so it always has the least to do.
TEST(LoadBalance, ARankThatFailedGetsNothingWhileAnotherLives) {
  std::vector<RankLoad> loads = {{.healthy = false}, {5, 50}, {9, 90}};
  EXPECT_EQ(LeastLoaded(LoadBalance::kRoundRobin, loads, 2), 1);
  EXPECT_EQ(LeastLoaded(LoadBalance::kTotalRequests, loads, 2), 1);
  EXPECT_EQ(LeastLoaded(LoadBalance::kTotalTokens, loads, 2), 1);
  EXPECT_EQ(ChooseByCache({.rank = 0, .tokens = 100}, 100, loads, 2), 1);
  for (RankLoad& load : loads) load.healthy = false;
  EXPECT_EQ(LeastLoaded(LoadBalance::kTotalRequests, loads, 2), 0);
}

TEST(LoadBalance, TheCacheDecidesUnlessItsRankIsFarAhead) {
  std::vector<RankLoad> loads = {{.requests = 40, .tokens = 4000}, {10, 1000}};
  EXPECT_EQ(ChooseByCache({.rank = 0, .tokens = 64}, 100, loads, 1), 0);
  EXPECT_EQ(ChooseByCache({.rank = 0, .tokens = 48}, 100, loads, 1), 1) << "less than half";
  EXPECT_EQ(ChooseByCache({}, 100, loads, 1), 1);
  loads[0].requests = 43;
  EXPECT_EQ(ChooseByCache({.rank = 0, .tokens = 64}, 100, loads, 1), 1) << "33 more than the least";
  loads = {{.requests = 133, .tokens = 4000}, {100, 1000}};
  EXPECT_EQ(ChooseByCache({.rank = 0, .tokens = 64}, 100, loads, 1), 0) << "a third more only";
}

TEST(LoadBalance, PromptsAreFoundByTheirBeginnings) {
  PromptRanks ranks;
  ranks.Add("", Prompt(100), 3);
  EXPECT_EQ(ranks.Find("", Prompt(100)).rank, 3);
  EXPECT_EQ(ranks.Find("", Prompt(100)).tokens, 96);
  EXPECT_EQ(ranks.Find("", Prompt(40)).tokens, 32);
  EXPECT_EQ(ranks.Find("salt", Prompt(100)).rank, -1);
  EXPECT_EQ(ranks.Find("", Prompt(15)).rank, -1);
  EXPECT_EQ(ranks.Find("", Prompt(100, 'b')).rank, -1);
}

class Ranks : public ::testing::Test {
 protected:
  std::unique_ptr<Engine> Start(const std::string& method, int ranks = 2) {
    EngineConfig config;
    config.model_path = kEchoModel;
    config.dp_size = ranks;
    config.load_balance_method = method;
    auto engine = Engine::Start(config);
    EXPECT_TRUE(engine.ok()) << Message(engine.status());
    return *std::move(engine);
  }

  // The rank that a request went to, and what became of it.
  struct Sent {
    StatusOr<RequestId> id;
    std::future<GenerateUpdate> end;
  };
  Sent Send(Engine& engine, GenerateRequest request) {
    auto end = std::make_shared<std::promise<GenerateUpdate>>();
    auto future = end->get_future();
    auto id = engine.Submit(std::move(request), [end](GenerateUpdate update) {
      if (update.finish) end->set_value(std::move(update));
    });
    return {std::move(id), std::move(future)};
  }
  GenerateRequest Request(int length, int outputs = 4) {
    GenerateRequest request;
    request.input_ids = Prompt(length);
    request.sampling.max_new_tokens = outputs;
    request.sampling.ignore_eos = true;
    request.stream = false;
    return request;
  }
  int RankOf(Engine& engine, GenerateRequest request, int* cached = nullptr) {
    Sent sent = Send(engine, std::move(request));
    EXPECT_TRUE(sent.id.ok()) << Message(sent.id.status());
    const GenerateUpdate update = sent.end.get();
    if (cached != nullptr) *cached = update.cached_tokens;
    return static_cast<int>(*sent.id % engine.ranks());
  }
  template <typename Ask>
  Status Answer(Ask ask) {
    std::promise<Status> answer;
    ask([&](const Status& status) { answer.set_value(status); });
    return answer.get_future().get();
  }
};

TEST_F(Ranks, RoundRobinTakesTurnsAndAPrefixIsWhereItWasSent) {
  auto engine = Start("auto", 3);
  EXPECT_EQ(engine->ranks(), 3);
  int cached = -1;
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(RankOf(*engine, Request(64), &cached), i % 3);
    EXPECT_EQ(cached, i < 3 ? 0 : 48) << "each rank has a cache of its own";
  }
  GenerateRequest chosen = Request(64);
  chosen.dp_rank = 2;
  EXPECT_EQ(RankOf(*engine, chosen), 2);
  chosen.dp_rank = 3;
  EXPECT_THAT(Message(Send(*engine, chosen).id.status()), HasSubstr("3 is none of the 3 ranks"));
}

TEST_F(Ranks, TheCacheAwareMethodKeepsPromptsTogether) {
  auto engine = Start("cache_aware");
  const int first = RankOf(*engine, Request(640));
  for (int i = 0; i < 5; ++i) {
    int cached = 0;
    EXPECT_EQ(RankOf(*engine, Request(640 + 16 * i), &cached), first);
    EXPECT_GE(cached, 600);
  }
}

TEST_F(Ranks, WhatIsAskedOfAllReachesAll) {
  auto engine = Start("total_requests");
  EXPECT_TRUE(Answer([&](auto done) { engine->Pause(PauseMode::kInPlace, done); }).ok());
  std::vector<Sent> sent;
  std::set<RequestId> ranks;
  for (int i = 0; i < 4; ++i) {
    GenerateRequest request = Request(64, 1000);
    request.rid = "mine" + std::to_string(i);
    sent.push_back(Send(*engine, std::move(request)));
    ASSERT_TRUE(sent.back().id.ok());
    ranks.insert(*sent.back().id % 2);
  }
  EXPECT_EQ(ranks.size(), 2u) << "the second goes to the other rank";
  EXPECT_EQ(engine->AbortByRid("mine", false), 4);
  EXPECT_TRUE(Answer([&](auto done) { engine->Continue(done); }).ok());
  for (Sent& one : sent) {
    EXPECT_EQ(one.end.get().finish->status.code(), StatusCode::kCancelled);
  }
  std::promise<void> drained;
  engine->Drain([&] { drained.set_value(); });
  drained.get_future().get();
  EXPECT_EQ(Send(*engine, Request(8)).id.status().code(), StatusCode::kUnavailable);
}

TEST_F(Ranks, EachIsFlushedByItself) {
  auto engine = Start("round_robin");
  const auto flush = [&](int rank) {
    return Answer([&](auto done) { engine->FlushCache(rank, done); });
  };
  const auto cached = [&](int rank) {
    std::promise<CacheSnapshot> answer;
    engine->InspectCache(rank, [&](StatusOr<CacheSnapshot> cache) { answer.set_value(*cache); });
    const CacheSnapshot cache = answer.get_future().get();
    EXPECT_EQ(cache.dp_rank, rank);
    return !cache.runs.empty();
  };
  GenerateRequest request = Request(64);
  for (const int rank : {0, 1}) {
    request.dp_rank = rank;
    RankOf(*engine, request);
  }
  while (!flush(1).ok()) {
  }
  EXPECT_TRUE(cached(0));
  EXPECT_FALSE(cached(1));
  while (!flush(0).ok()) {
  }
  EXPECT_FALSE(cached(0));
}

TEST_F(Ranks, AbortFindsTheRankByTheId) {
  auto engine = Start("round_robin");
  EXPECT_TRUE(Answer([&](auto done) { engine->Pause(PauseMode::kInPlace, done); }).ok());
  Sent one = Send(*engine, Request(64)), two = Send(*engine, Request(64));
  engine->Abort(*two.id);
  EXPECT_EQ(two.end.get().finish->kind, FinishReason::Kind::kAbort);
  EXPECT_NE(one.end.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  engine->Abort(*one.id);
  EXPECT_EQ(one.end.get().finish->kind, FinishReason::Kind::kAbort);
}

TEST_F(Ranks, ANameIsOneRequestsAmongAllRanks) {
  auto engine = Start("round_robin");
  EXPECT_TRUE(Answer([&](auto done) { engine->Pause(PauseMode::kInPlace, done); }).ok());
  GenerateRequest request = Request(64);
  request.rid = "name";
  Sent first = Send(*engine, request);
  EXPECT_TRUE(first.id.ok());
  EXPECT_THAT(Message(Send(*engine, request).id.status()), HasSubstr("'name' is at work"));
  engine->Stop();
  EXPECT_EQ(first.end.get().finish->status.code(), StatusCode::kUnavailable);
}

TEST_F(Ranks, ASessionStaysOnItsRank) {
  auto engine = Start("round_robin", 3);
  const std::string id = *engine->OpenSession({});
  std::set<int> ranks;
  std::string before;
  for (int i = 0; i < 4; ++i) {
    GenerateRequest turn = Request(16);
    turn.rid = "turn" + std::to_string(i);
    turn.session = SessionParams{.id = id, .rid = before};
    before = turn.rid;
    ranks.insert(RankOf(*engine, turn));
  }
  EXPECT_EQ(ranks.size(), 1u);
  GenerateRequest elsewhere = Request(16);
  elsewhere.session = SessionParams{.id = id};
  elsewhere.dp_rank = (*ranks.begin() + 1) % 3;
  EXPECT_THAT(Message(Send(*engine, elsewhere).id.status()), HasSubstr("is not where session"));
  EXPECT_TRUE(engine->CloseSession(id).ok());
  EXPECT_FALSE(engine->CloseSession(id).ok());
}

TEST_F(Ranks, OnePageOfMetricsTellsThemApart) {
  auto engine = Start("round_robin");
  RankOf(*engine, Request(32)), RankOf(*engine, Request(32)), RankOf(*engine, Request(32));
  const std::string page = engine->metrics().Print();
  const auto line = [&](int rank) {
    return fmt::format("sglang:num_requests_total{{dp_rank=\"{}\",engine_type=\"unified\"", rank);
  };
  for (int rank : {0, 1}) EXPECT_THAT(page, HasSubstr(line(rank)));
  const EngineSnapshot sum = engine->Snapshot();
  EXPECT_EQ(sum.max_total_tokens, 2 * engine->RankSnapshot(0).max_total_tokens);
}

}  // namespace
}  // namespace banyan
