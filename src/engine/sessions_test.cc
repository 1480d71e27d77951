// SPDX-License-Identifier: Apache-2.0
#include "engine/sessions.h"

#include <gtest/gtest.h>
#include <pthread.h>

namespace banyan {
namespace {

using Ids = std::vector<TokenId>;

TimePoint At(double seconds) {
  return TimePoint() + std::chrono::milliseconds(static_cast<int64_t>(1000 * seconds));
}

class SessionsTest : public testing::Test {
 protected:
  SessionsTest() { EXPECT_EQ(*sessions.Open({.id = "s"}, At(0)), "s"); }

  // Begins a request of session "s", or of the one that is named.
  Status Begin(SessionParams params, const std::string& rid, Ids ids, TimePoint now = At(0)) {
    if (params.id.empty()) params.id = "s";
    const auto begun =
        sessions.Begin(params, rid, std::move(ids), 0, now,
                       [&](Ids whole, const Sessions::Handle& turn) -> StatusOr<RequestId> {
                         if (!refuse.ok()) return refuse;
                         prompt = std::move(whole);
                         handle = turn;
                         return ++last_id;
                       });
    if (begun.ok()) replaced = begun->replaced;
    return begun.status();
  }
  // A request of the session and its whole output.
  StatusOr<Ids> Turn(SessionParams params, const std::string& rid, Ids ids, Ids output) {
    BANYAN_RETURN_IF_ERROR(Begin(std::move(params), rid, std::move(ids), At(1)));
    sessions.Append(handle, output);
    sessions.End(handle, false, At(2));
    return prompt;
  }

  Sessions sessions{1000};
  Status refuse;
  // Of the last that began:
  Ids prompt;
  Sessions::Handle handle;
  RequestId last_id = 0;
  std::vector<RequestId> replaced;
};

TEST_F(SessionsTest, ContinuesBranchesAndReplaces) {
  EXPECT_EQ(*Turn({}, "a", {0, 1, 2}, {7, 8}), (Ids{0, 1, 2}));
  // The token that begins a text is not repeated.
  EXPECT_EQ(*Turn({.rid = "a"}, "b", {0, 3}, {9}), (Ids{0, 1, 2, 7, 8, 3}));
  EXPECT_EQ(*Turn({.rid = "b"}, "c", {4}, {5}), (Ids{0, 1, 2, 7, 8, 3, 9, 4}));
  // Beside b: from the same place, from an offset, from its end, without its output.
  EXPECT_EQ(*Turn({.rid = "a"}, "d", {6}, {}), (Ids{0, 1, 2, 7, 8, 6}));
  EXPECT_EQ(*Turn({.rid = "a", .offset = 2}, "e", {6}, {}), (Ids{0, 1, 6}));
  EXPECT_EQ(*Turn({.rid = "a", .offset = -1}, "f", {6}, {}), (Ids{0, 1, 2, 7, 6}));
  EXPECT_EQ(*Turn({.rid = "a", .offset = 99}, "g", {6}, {}), (Ids{0, 1, 2, 7, 8, 6}));
  EXPECT_EQ(*Turn({.rid = "a", .drop_previous_output = true}, "h", {6}, {}), (Ids{0, 1, 2, 6}));
  // In their stead: what went on from b is forgotten, b itself and the others stay.
  EXPECT_EQ(*Turn({.rid = "b", .replace = true}, "i", {6}, {}), (Ids{0, 1, 2, 7, 8, 3, 9, 6}));
  EXPECT_FALSE(Turn({.rid = "c"}, "j", {6}, {}).ok());
  EXPECT_TRUE(Turn({.rid = "d"}, "j", {6}, {}).ok());
  EXPECT_EQ(*Turn({.replace = true}, "k", {0, 5}, {}), (Ids{0, 5}));
  EXPECT_FALSE(Turn({.rid = "a"}, "l", {6}, {}).ok());
}

TEST_F(SessionsTest, WhatHasNotEndedIsNotGoneOnFromButMayBeReplaced) {
  ASSERT_TRUE(Begin({}, "a", {1, 2}).ok());
  const Sessions::Handle a = handle;
  sessions.Append(a, Ids{3});
  EXPECT_FALSE(Begin({.rid = "a"}, "b", {4}).ok());
  EXPECT_FALSE(Begin({}, "a", {4}).ok());
  ASSERT_TRUE(Begin({.rid = "a", .replace = true}, "b", {4}).ok());
  EXPECT_EQ(replaced, std::vector<RequestId>{1});
  EXPECT_EQ(prompt, (Ids{1, 2, 3, 4}));
  sessions.Append(a, Ids{9});  // what still comes of it counts no more
  sessions.End(handle, false, At(0));
  EXPECT_EQ(*Turn({.rid = "b"}, "c", {5}, {}), (Ids{1, 2, 3, 4, 5}));
}

TEST_F(SessionsTest, ClosesByNameAndByTime) {
  EXPECT_FALSE(sessions.Open({.id = "s"}, At(0)).ok());
  EXPECT_FALSE(sessions.Close("t").ok());
  EXPECT_TRUE(sessions.Close("s").ok());
  EXPECT_FALSE(Turn({}, "a", {1}, {}).ok());
  const std::string made = *sessions.Open({.timeout = 10}, At(0));
  ASSERT_TRUE(Begin({.id = made}, "a", {1}, At(5)).ok());
  const Sessions::Handle a = handle;
  // While a request runs it stays.
  ASSERT_TRUE(Begin({.id = made}, "b", {1}, At(20)).ok());
  sessions.End(a, false, At(21));
  sessions.End(handle, false, At(22));
  ASSERT_TRUE(Begin({.id = made, .rid = "a"}, "c", {1}, At(31)).ok());
  sessions.End(handle, true, At(31));
  EXPECT_FALSE(Begin({.id = made}, "d", {1}, At(42)).ok());
  EXPECT_EQ(sessions.size(), 0);
}

TEST_F(SessionsTest, WhatWasClosedSaysNothingInTheNextOfItsName) {
  ASSERT_TRUE(Begin({}, "a", {1}).ok());
  const Sessions::Handle old = handle;
  EXPECT_EQ(*sessions.Close("s"), std::vector<RequestId>{1});
  ASSERT_TRUE(sessions.Open({.id = "s"}, At(0)).ok());
  ASSERT_TRUE(Begin({}, "a", {2}).ok());
  sessions.Append(old, Ids{9});
  sessions.End(old, true, At(0));
  EXPECT_FALSE(Begin({.rid = "a"}, "b", {3}).ok()) << "it has not ended";
  sessions.End(handle, false, At(0));
  EXPECT_EQ(*Turn({.rid = "a"}, "b", {3}, {}), (Ids{2, 3}));
}

TEST_F(SessionsTest, HoldsNoMoreThanItMay) {
  EXPECT_TRUE(Turn({}, "a", Ids(900, 1), {}).ok());
  EXPECT_EQ(Turn({}, "b", Ids(200, 1), {}).status().code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(sessions.Close("s").ok());
  ASSERT_TRUE(sessions.Open({.id = "s"}, At(0)).ok());
  EXPECT_TRUE(Turn({}, "b", Ids(200, 1), {}).ok());
}

TEST_F(SessionsTest, RequestsWithoutTokensAreBoundedToo) {
  int begun = 0;
  while (begun < 1000 && Turn({}, std::to_string(begun), {}, {}).ok()) ++begun;
  EXPECT_LT(begun, 20);
}

// Each way in which requests are dropped, often enough to use up what may be held if one of them
// kept what it was charged.
TEST_F(SessionsTest, GivesBackWhatIsDropped) {
  const Ids many(200, 1);
  ASSERT_TRUE(Turn({}, "root", {1}, {}).ok());
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(Turn({}, "reused", many, many).ok()) << "the name is used again";
  }
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(Begin({}, "failed", {1, 2, 3}).ok());
    sessions.Append(handle, many);
    sessions.End(handle, true, At(0));
  }
  ASSERT_TRUE(Turn({.replace = true}, "root", {1}, {}).ok());
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(Turn({.rid = "root", .replace = true}, std::to_string(i), many, many).ok());
  }
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(Turn({.replace = true}, std::to_string(i), many, many).ok());
  }
  refuse = InvalidArgument("no");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Begin({}, "refused", many), refuse);
  refuse = OkStatus();
  EXPECT_TRUE(Turn({}, "last", many, {}).ok());
}

TEST_F(SessionsTest, WhatIsGoneOnFromStaysCharged) {
  ASSERT_TRUE(Turn({}, "a", Ids(400, 1), {}).ok());
  ASSERT_TRUE(Turn({.rid = "a"}, "b", {}, {}).ok());
  ASSERT_TRUE(Turn({}, "a", Ids(300, 2), {}).ok());  // the old one has no name now
  EXPECT_EQ(Begin({}, "c", Ids(100, 1)).code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(*Turn({.rid = "b"}, "b", {}, {}), Ids(400, 1));
  ASSERT_TRUE(Turn({}, "b", {}, {}).ok());
  EXPECT_TRUE(Turn({}, "c", Ids(400, 1), {}).ok());
}

TEST_F(SessionsTest, ARefusedRequestReplacesNothing) {
  ASSERT_TRUE(Turn({}, "a", Ids(500, 1), {}).ok());
  ASSERT_TRUE(Turn({.rid = "a"}, "b", {2}, {}).ok());
  for (const std::string parent : {"", "a"}) {
    EXPECT_EQ(Begin({.rid = parent, .replace = true}, "c", Ids(500, 1)).code(),
              StatusCode::kResourceExhausted);
    refuse = InvalidArgument("no");
    EXPECT_EQ(Begin({.rid = parent, .replace = true}, "b", {3}), refuse);
    refuse = OkStatus();
  }
  EXPECT_EQ(Turn({.rid = "b"}, "c", {}, {})->size(), 501u);
}

TEST_F(SessionsTest, ATurnThatNeverBeganTakesNoNameAway) {
  ASSERT_TRUE(Turn({}, "a", {1, 2}, {3}).ok());
  ASSERT_TRUE(Turn({.rid = "a"}, "b", {4}, {}).ok());
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(Begin({.rid = "b"}, "a", {9}).ok());
    sessions.End(handle, true, At(3));
    EXPECT_EQ(*Turn({.rid = "a"}, "c", {5}, {}), (Ids{1, 2, 3, 5}));
  }
  // One that has begun does, however it ends.
  ASSERT_TRUE(Begin({.rid = "b"}, "a", {9}).ok());
  sessions.Append(handle, Ids{8});
  sessions.End(handle, true, At(3));
  EXPECT_FALSE(Turn({.rid = "a"}, "c", {5}, {}).ok());
}

TEST_F(SessionsTest, WhatIsForgottenMeanwhileDoesNotComeBack) {
  ASSERT_TRUE(Turn({}, "root", {1}, {}).ok());
  ASSERT_TRUE(Turn({.rid = "root"}, "a", {2}, {}).ok());
  ASSERT_TRUE(Begin({}, "a", {3}).ok());
  const Sessions::Handle a = handle;
  ASSERT_TRUE(Turn({.rid = "root", .replace = true}, "b", {4}, {}).ok());
  sessions.End(a, true, At(3));
  EXPECT_FALSE(Turn({.rid = "a"}, "c", {5}, {}).ok());
  EXPECT_EQ(*Turn({.rid = "b"}, "c", {5}, {}), (Ids{1, 4, 5}));
}

TEST_F(SessionsTest, NamesMayLeadBackToTheirBeginning) {
  ASSERT_TRUE(Turn({}, "a", {1}, {}).ok());
  ASSERT_TRUE(Turn({.rid = "a"}, "b", {2}, {}).ok());
  ASSERT_TRUE(Turn({.rid = "b"}, "a", {3}, {}).ok());
  EXPECT_EQ(*Turn({.rid = "a", .replace = true}, "c", {4}, {}), (Ids{1, 2, 3, 4}));
  EXPECT_EQ(*Turn({.rid = "c"}, "c", {5}, {}), (Ids{1, 2, 3, 4, 5}));
  EXPECT_EQ(*Turn({.rid = "c", .offset = 1}, "d", {6}, {}), (Ids{1, 6}));
}

// One token a turn, and a stack that so many turns within each other would overflow.
TEST_F(SessionsTest, ALongPastIsLetGoOnAShortStack) {
  constexpr int kTurns = 10000;
  Sessions all(int64_t{1} << 30);
  ASSERT_TRUE(all.Open({.id = "s"}, At(0)).ok());
  Sessions::Handle last;
  std::size_t length = 0;
  for (int i = 0; i < kTurns; ++i) {
    const SessionParams params = {.id = "s", .rid = i == 0 ? "" : "a"};
    ASSERT_TRUE(all.Begin(params, "a", {1}, {}, At(0),
                          [&](const Ids& whole, const Sessions::Handle& turn) {
                            length = whole.size();
                            last = turn;
                            return StatusOr<RequestId>(1);
                          })
                    .ok());
    all.End(last, false, At(0));
  }
  EXPECT_EQ(length, std::size_t{kTurns});
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, 256 << 10), 0);
  pthread_t thread;
  const auto close = [](void* sessions) -> void* {
    EXPECT_TRUE(static_cast<Sessions*>(sessions)->Close("s").ok());
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, close, &all), 0);
  EXPECT_EQ(pthread_join(thread, nullptr), 0);
  pthread_attr_destroy(&attributes);
  EXPECT_TRUE(last.expired());
}

}  // namespace
}  // namespace banyan
