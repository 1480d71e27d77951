// SPDX-License-Identifier: Apache-2.0
#include "base/fields.h"

#include <gtest/gtest.h>

namespace banyan {
namespace {

json::object Parse(std::string_view text) { return *ParseJsonObject(text, "test"); }

TEST(Fields, MissingMandatoryKeyIsNamed) {
  json::object object = Parse(R"({"a": 1})");
  Fields fields(object, "config.json");
  EXPECT_EQ(fields.Required<int>("a"), 1);
  EXPECT_EQ(fields.Required<int>("layers"), 0);
  EXPECT_EQ(Message(fields.status()), "config.json: 'layers' is missing");
}

TEST(Fields, NullCountsAsAbsent) {
  json::object object = Parse(R"({"a": null})");
  Fields fields(object, "config.json");
  EXPECT_EQ(fields.Optional<int>("a", 7), 7);
  EXPECT_TRUE(fields.status().ok());
  fields.Required<int>("a");
  EXPECT_FALSE(fields.status().ok());
}

TEST(Fields, TypesAndRangesAreChecked) {
  json::object object =
      Parse(R"({"s": "x", "f": 1.5, "i": 3.0, "big": 5000000000, "bigf": 5e9, "list": [1, "2"]})");
  for (auto [key, problem] : {std::pair{"s", "expected an integer, found string"},
                              {"f", "found a fraction"},
                              {"big", "the integer does not fit"},
                              {"bigf", "the integer does not fit"}}) {
    Fields fields(object, "c");
    fields.Required<int>(key);
    EXPECT_NE(Message(fields.status()).find(problem), std::string::npos)
        << Message(fields.status());
  }
  Fields fields(object, "c");
  EXPECT_EQ(fields.Required<int>("i", {1, 3}), 3);
  EXPECT_TRUE(fields.status().ok());
  fields.Required<int>("i", {4, 8});
  EXPECT_NE(Message(fields.status()).find("3 is not within [4, 8]"), std::string::npos);
  Fields list(object, "c");
  list.Required<std::vector<int>>("list");
  EXPECT_NE(Message(list.status()).find("item 1"), std::string::npos);
}

TEST(Fields, AFloatThatWouldBecomeInfiniteIsRefused) {
  json::object object = Parse(R"({"f": 1e300})");
  Fields fields(object, "c");
  EXPECT_EQ(fields.Required<double>("f"), 1e300);
  EXPECT_TRUE(fields.status().ok());
  fields.Required<float>("f");
  EXPECT_NE(Message(fields.status()).find("1e+300 does not fit"), std::string::npos);
}

TEST(Fields, UnreadKeysAreListed) {
  json::object object = Parse(R"({"a": 1, "b": 2, "c": null, "d": 3})");
  Fields fields(object, "c");
  fields.Required<int>("a");
  fields.Ignore({"d"});
  EXPECT_EQ(fields.Unread(), std::vector<std::string>{"b"});
}

TEST(ParseJson, RefusesDepthAndTrailingText) {
  EXPECT_FALSE(ParseJson(std::string(1000, '[')).ok());
  EXPECT_FALSE(ParseJson("{} x").ok());
  EXPECT_FALSE(ParseJson("{\"a\": ").ok());
  EXPECT_TRUE(ParseJson(" {\"a\": [1, 2]} \n").ok());
}

}  // namespace
}  // namespace banyan
