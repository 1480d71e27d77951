// SPDX-License-Identifier: Apache-2.0
#include "app/sglang_flags.h"

#include <gtest/gtest.h>

#include <set>

namespace banyan {
namespace {

Status Check(std::vector<std::string> left, std::vector<std::string>* notes = nullptr) {
  CLI::App app("serve");
  std::string model;
  app.add_option("--model-path,--model", model);
  std::vector<std::string> ignored;
  return CheckLeftOver(app, left, notes != nullptr ? *notes : ignored);
}

TEST(SglangFlags, EachOnceWithAReason) {
  std::set<std::string> names;
  for (const SglangFlag& flag : SglangFlags()) {
    EXPECT_TRUE(flag.name.starts_with("--")) << flag.name;
    EXPECT_FALSE(flag.reason.empty()) << flag.name;
    EXPECT_TRUE(names.insert(flag.name).second) << flag.name << " stands twice";
  }
}

TEST(CheckLeftOver, RefusesWithTheReason) {
  EXPECT_EQ(Message(Check({"--tp-size", "2"})),
            "--tp-size is not supported yet: one process on one device is what there is so far");
  EXPECT_EQ(Message(Check({"--allow-auto-truncate"})),
            "--allow-auto-truncate is not supported: prompts are never cut: one that does not fit "
            "is refused with both numbers");
  EXPECT_EQ(Message(Check({"--ssl-keyfile=x"})),
            "--ssl-keyfile is not supported yet: TLS is not built; put a proxy in front");
}

TEST(CheckLeftOver, AcceptsWhatChangesNothing) {
  EXPECT_TRUE(Check({"--tp-size", "1", "--pp-size=1", "--nnodes", "1"}).ok());
  EXPECT_TRUE(Check({"--enable-lora=false"}).ok());
  EXPECT_FALSE(Check({"--enable-lora"}).ok());
  std::vector<std::string> notes;
  EXPECT_TRUE(Check({"--trust-remote-code", "--enable-metrics"}, &notes).ok());
  EXPECT_EQ(notes.size(), 2u);
}

TEST(CheckLeftOver, NamesTheNearest) {
  EXPECT_EQ(Message(Check({"--model-pth", "m"})),
            "unknown flag --model-pth; did you mean --model-path?");
  EXPECT_EQ(Message(Check({"--tp", "2"})), "unknown flag --tp; did you mean --tp-size?");
  EXPECT_EQ(Message(Check({"--xyzzy"})), "unknown flag --xyzzy");
  EXPECT_EQ(Message(Check({"stray"})), "unexpected argument 'stray'");
}

}  // namespace
}  // namespace banyan
