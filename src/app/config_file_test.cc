// SPDX-License-Identifier: Apache-2.0
#include "app/config_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace banyan {
namespace {

std::string Write(std::string_view text) {
  const std::string path =
      testing::TempDir() + "banyan_config_test_" + std::to_string(::getpid()) + ".yaml";
  std::ofstream(path) << text;
  return path;
}

using Args = std::vector<std::string>;

StatusOr<Args> Expand(Args args) {
  return ExpandConfigFile(std::move(args),
                          [](const std::string& flag) { return flag == "--port"; });
}

TEST(ConfigFile, StandsBeforeTheCommandLine) {
  const std::string path = Write(
      "model_path: m\nport: 1234\ndisable-radix-cache: true\nenable-mixed-chunk: false\n"
      "open-paths:\n  - /metrics\n  - /ready\n");
  const auto args = Expand({"--port", "1", "--config", path, "--threads", "2"});
  ASSERT_TRUE(args.ok()) << args.status();
  EXPECT_EQ(*args, (Args{"--model-path=m", "--port=1234", "--disable-radix-cache=true",
                         "--enable-mixed-chunk=false", "--open-paths=/metrics",
                         "--open-paths=/ready", "--port", "1", "--threads", "2"}));
  EXPECT_EQ(Expand({"--config=" + path})->size(), 6u);
  EXPECT_EQ(*Expand({"--port", "1"}), (Args{"--port", "1"}));
  EXPECT_TRUE(Expand({"--config", Write("")})->empty());
}

TEST(ConfigFile, RefusesWhatIsNoListOfFlags) {
  EXPECT_FALSE(Expand({"--config"}).ok());
  EXPECT_FALSE(Expand({"--config", "/no/such/file"}).ok());
  EXPECT_FALSE(Expand({"--config", testing::TempDir()}).ok());
  for (const char* bad : {"[1, 2", "- a\n- b", "a: {b: c}", "a: [[1]]", "config: other.yaml",
                          "--port: 1", "port: 1\nport: 2", "page_size: 1\npage-size: 2",
                          "? [a]\n: b", "a: \"\\xZZ\"", "{a: b", "port: [1, 2]", "port: [1]"})
    EXPECT_FALSE(Expand({"--config", Write(bad)}).ok()) << bad;
  for (const char* empty : {"no_such-flag:", "disable-radix-cache: null", "port: ~"}) {
    const auto args = Expand({"--config", Write(empty)});
    ASSERT_FALSE(args.ok()) << empty;
    EXPECT_NE(Message(args.status()).find("has no value: write true"), std::string::npos) << empty;
  }
}

}  // namespace
}  // namespace banyan
