// SPDX-License-Identifier: Apache-2.0
#include "engine/sessions.h"

#include <gtest/gtest.h>

namespace banyan {
namespace {

using Ids = std::vector<TokenId>;

TimePoint At(double seconds) {
  return TimePoint() + std::chrono::milliseconds(static_cast<int64_t>(1000 * seconds));
}

class SessionsTest : public testing::Test {
 protected:
  SessionsTest() { EXPECT_EQ(*sessions.Open({.id = "s"}, At(0)), "s"); }

  // A request of the session and its whole output.
  StatusOr<Ids> Turn(SessionParams params, const std::string& rid, Ids ids, Ids output) {
    params.id = "s";
    BANYAN_ASSIGN_OR_RETURN(auto begun, sessions.Begin(params, rid, std::move(ids), 0, At(1)));
    replaced = begun.replaced;
    sessions.Append("s", rid, output);
    sessions.End("s", rid, false, At(2));
    return begun.prompt;
  }

  Sessions sessions{1000};
  std::vector<std::string> replaced;
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
  ASSERT_TRUE(sessions.Begin({.id = "s"}, "a", {1, 2}, {}, At(0)).ok());
  sessions.Append("s", "a", Ids{3});
  EXPECT_FALSE(sessions.Begin({.id = "s", .rid = "a"}, "b", {4}, {}, At(0)).ok());
  EXPECT_FALSE(sessions.Begin({.id = "s"}, "a", {4}, {}, At(0)).ok());
  const auto begun = sessions.Begin({.id = "s", .rid = "a", .replace = true}, "b", {4}, {}, At(0));
  ASSERT_TRUE(begun.ok());
  EXPECT_EQ(begun->replaced, std::vector<std::string>{"a"});
  EXPECT_EQ(begun->prompt, (Ids{1, 2, 3, 4}));
  sessions.Append("s", "a", Ids{9});  // what still comes of it counts no more
  sessions.End("s", "b", false, At(0));
  EXPECT_EQ(*Turn({.rid = "b"}, "c", {5}, {}), (Ids{1, 2, 3, 4, 5}));
}

TEST_F(SessionsTest, ClosesByNameAndByTime) {
  EXPECT_FALSE(sessions.Open({.id = "s"}, At(0)).ok());
  EXPECT_FALSE(sessions.Close("t").ok());
  EXPECT_TRUE(sessions.Close("s").ok());
  EXPECT_FALSE(Turn({}, "a", {1}, {}).ok());
  const std::string made = *sessions.Open({.timeout = 10}, At(0));
  ASSERT_TRUE(sessions.Begin({.id = made}, "a", {1}, {}, At(5)).ok());
  // While a request runs it stays.
  ASSERT_TRUE(sessions.Begin({.id = made}, "b", {1}, {}, At(20)).ok());
  sessions.End(made, "a", false, At(21));
  sessions.End(made, "b", false, At(22));
  ASSERT_TRUE(sessions.Begin({.id = made, .rid = "a"}, "c", {1}, {}, At(31)).ok());
  sessions.End(made, "c", true, At(31));
  EXPECT_FALSE(sessions.Begin({.id = made}, "d", {1}, {}, At(42)).ok());
  EXPECT_EQ(sessions.size(), 0);
}

TEST_F(SessionsTest, HoldsNoMoreThanItMay) {
  EXPECT_TRUE(Turn({}, "a", Ids(900, 1), {}).ok());
  EXPECT_EQ(Turn({}, "b", Ids(200, 1), {}).status().code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(sessions.Close("s").ok());
  ASSERT_TRUE(sessions.Open({.id = "s"}, At(0)).ok());
  EXPECT_TRUE(Turn({}, "b", Ids(200, 1), {}).ok());
}

}  // namespace
}  // namespace banyan
