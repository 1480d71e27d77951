// SPDX-License-Identifier: Apache-2.0
#include "engine/stop_matcher.h"

#include <gtest/gtest.h>

namespace banyan {
namespace {

// The text given out and the match, for every way of cutting `text` in two and for single bytes.
void ExpectAtEverySplit(const std::vector<std::string>& stops, const std::string& text,
                        const std::string& given_out, const std::string& match,
                        bool keep_match = false) {
  const auto check = [&](const std::vector<std::string>& pieces) {
    StopMatcher matcher(stops, keep_match);
    std::string out;
    for (const std::string& piece : pieces) out += matcher.Push(piece);
    out += matcher.Finish();
    EXPECT_EQ(out, given_out) << text;
    EXPECT_EQ(matcher.match(), match) << text;
  };
  for (std::size_t cut = 0; cut <= text.size(); ++cut)
    check({text.substr(0, cut), text.substr(cut)});
  std::vector<std::string> bytes;
  for (const char c : text) bytes.emplace_back(1, c);
  check(bytes);
}

TEST(StopMatcher, CutsAtTheStopString) {
  ExpectAtEverySplit({"stop"}, "go on stop here", "go on ", "stop");
  ExpectAtEverySplit({"stop"}, "go on stop here", "go on stop", "stop", true);
  ExpectAtEverySplit({"\n\n"}, "a\nb\n\nc", "a\nb", "\n\n");
  ExpectAtEverySplit({"é"}, "caf\xc3\xa9 au lait", "caf", "é");
}

TEST(StopMatcher, GivesOutEverythingWithoutAMatch) {
  ExpectAtEverySplit({"stop", "</s>"}, "sto sto </ s", "sto sto </ s", "");
  ExpectAtEverySplit({}, "anything", "anything", "");
  ExpectAtEverySplit({""}, "anything", "anything", "");
}

TEST(StopMatcher, TheMatchThatEndsFirstCounts) {
  ExpectAtEverySplit({"abcd", "bc"}, "xabcdx", "xa", "bc");
  ExpectAtEverySplit({"c", "abc"}, "xabcdx", "x", "abc");
  ExpectAtEverySplit({"aab"}, "aaab", "a", "aab");
}

TEST(StopMatcher, HoldsBackNoMoreThanItMust) {
  StopMatcher matcher({"</tool>"}, false);
  EXPECT_EQ(matcher.Push("text <"), "text ");
  EXPECT_EQ(matcher.Push("b>"), "<b>");
  EXPECT_EQ(matcher.Push("x</to"), "x");
  EXPECT_EQ(matcher.Push("ol>rest"), "");
  EXPECT_TRUE(matcher.matched());
  EXPECT_EQ(matcher.Push("more"), "");
}

TEST(StopMatcher, LooksAheadAndStaysWhereItIs) {
  StopMatcher matcher({"stop", "\n"}, false);
  EXPECT_EQ(matcher.Push("a st"), "a ");
  EXPECT_EQ(matcher.MatchWith("op"), "stop");
  EXPECT_EQ(matcher.MatchWith("o"), "");
  EXPECT_EQ(matcher.MatchWith(""), "");
  EXPECT_FALSE(matcher.matched());
  EXPECT_EQ(matcher.Push("ay\n"), "stay");
  EXPECT_EQ(matcher.MatchWith("stop"), "\n");
}

}  // namespace
}  // namespace banyan
