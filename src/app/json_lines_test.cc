// SPDX-License-Identifier: Apache-2.0
#include "app/json_lines.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <thread>

namespace banyan {
namespace {

std::string Converse(std::string_view input, std::size_t max_line = kMaxJsonLine) {
  int in[2], out[2];
  EXPECT_EQ(pipe(in), 0);
  EXPECT_EQ(pipe(out), 0);
  std::thread writer([&] {
    EXPECT_EQ(write(in[1], input.data(), input.size()), static_cast<ssize_t>(input.size()));
    close(in[1]);
  });
  std::string output;
  std::thread reader([&] {
    char buffer[4096];
    for (ssize_t n; (n = read(out[0], buffer, sizeof buffer)) > 0;) output.append(buffer, n);
  });
  const Status status = RunJsonLines(
      in[0], out[1],
      [](const JsonLine& line) -> StatusOr<json::object> {
        if (line.object.contains("bad")) return InvalidArgument("no \"bad\"");
        return json::object{{"got", line.object}, {"size", line.text.size()}};
      },
      max_line);
  EXPECT_TRUE(status.ok()) << status;
  writer.join();
  close(out[1]);
  reader.join();
  close(in[0]);
  close(out[0]);
  return output;
}

TEST(JsonLinesTest, OneReplyPerLine) {
  EXPECT_EQ(Converse("{\"a\":1}\n{\"b\":2}"),
            "{\"got\":{\"a\":1},\"size\":7}\n{\"got\":{\"b\":2},\"size\":7}\n");
  EXPECT_EQ(Converse(""), "");
}

TEST(JsonLinesTest, WhatSomeReadersTakeForTheEndOfALineIsEscaped) {
  EXPECT_EQ(Converse("{\"a\":\"x\u0085\u2028y\u2029\u00E9\u2020\"}"),
            "{\"got\":{\"a\":\"x\\u0085\\u2028y\\u2029\u00E9\u2020\"},\"size\":23}\n");
}

TEST(JsonLinesTest, BadLinesAreAnsweredWithAnError) {
  const std::string output = Converse("{\n[1]\n\n{\"bad\":1}\n{}\n");
  EXPECT_EQ(std::count(output.begin(), output.end(), '\n'), 5);
  EXPECT_NE(output.find(R"({"error":{"message":"no \"bad\""}})"), std::string::npos);
  EXPECT_TRUE(output.ends_with("{\"got\":{},\"size\":2}\n"));
}

TEST(JsonLinesTest, MembersLeaveAndTheRestStaysAsItIs) {
  EXPECT_EQ(WithoutMember(R"( {"a": 1.50, "now":"x,\"}", "b":{"now": [1,"}"]} , "n\u006fw" : 3} )",
                          "now"),
            R"({"a": 1.50, "b":{"now": [1,"}"]} })");
  EXPECT_EQ(WithoutMember(R"({"now":[]})", "now"), "{}");
  EXPECT_EQ(WithoutMember("{}", "now"), "{}");
  EXPECT_EQ(WithoutMember(R"({"x":99999999999999999999})", "now"), R"({"x":99999999999999999999})");
}

TEST(JsonLinesTest, LongLinesAreSkippedWhole) {
  const std::string output = Converse("{\"a\":\"" + std::string(200000, 'x') + "\"}\n{}\n", 100000);
  EXPECT_EQ(std::count(output.begin(), output.end(), '\n'), 2);
  EXPECT_NE(output.find("longer than 100000 bytes"), std::string::npos);
  EXPECT_TRUE(output.ends_with("{\"got\":{},\"size\":2}\n"));
}

}  // namespace
}  // namespace banyan
