// SPDX-License-Identifier: Apache-2.0
#include "app/engine_flags.h"

#include <gtest/gtest.h>

namespace banyan {
namespace {

TEST(ParseSize, ReadsUnits) {
  EXPECT_EQ(*ParseSize("4096"), 4096);
  EXPECT_EQ(*ParseSize("32k"), 32000);
  EXPECT_EQ(*ParseSize("32K"), 32768);
  EXPECT_EQ(*ParseSize("1.5K"), 1536);
  EXPECT_EQ(*ParseSize("1M"), 1048576);
  for (const char* bad : {"", "k", "12x", "1.5", "1e400", "nan", "inf", "9g9", " 1"})
    EXPECT_FALSE(ParseSize(bad).ok()) << bad;
}

Status Parse(std::vector<std::string> args, EngineConfig& config) {
  CLI::App app("test");
  AddEngineFlags(app, config);
  std::reverse(args.begin(), args.end());  // CLI11 takes them last first
  try {
    app.parse(args);
  } catch (const CLI::Error& error) {
    return InvalidArgument("{}", error.what());
  }
  return OkStatus();
}

TEST(EngineFlags, FillTheConfig) {
  EngineConfig config;
  ASSERT_TRUE(Parse({"--model", "m", "--context-length", "8K", "--random-seed", "7",
                     "--disable-radix-cache", "--chunked-prefill-size", "-1",
                     "--max-prefill-tokens=2k", "--disable-mixed-chunk"},
                    config)
                  .ok());
  EXPECT_EQ(config.model_path, "m");
  EXPECT_EQ(config.context_length, 8192);
  EXPECT_EQ(config.random_seed, 7u);
  EXPECT_TRUE(config.random_seed_set);
  EXPECT_TRUE(config.disable_radix_cache);
  EXPECT_EQ(config.chunked_prefill_size, -1);
  EXPECT_EQ(config.max_prefill_tokens, 2000);
  EXPECT_FALSE(config.enable_mixed_chunk);
}

TEST(EngineFlags, TheLastOfTwoWins) {
  EngineConfig config;
  ASSERT_TRUE(
      Parse({"--model-path", "a", "--page-size", "1", "--model-path", "b", "--page-size", "64"},
            config)
          .ok());
  EXPECT_EQ(config.model_path, "b");
  EXPECT_EQ(config.page_size, 64);
}

TEST(EngineFlags, AChatTemplateIsAFileOrOneOfTheModels) {
  EngineConfig config;
  ASSERT_TRUE(Parse({"--model", "m", "--hf-chat-template-name", "rag"}, config).ok());
  EXPECT_EQ(config.hf_chat_template_name, "rag");
  EXPECT_FALSE(
      Parse({"--model", "m", "--hf-chat-template-name", "rag", "--chat-template", "f"}, config)
          .ok());
}

TEST(EngineFlags, BackendsOfRecurrentLayersAreNamed) {
  EngineConfig config;
  EXPECT_TRUE(
      Parse({"--model", "m", "--mamba-backend", "cpu", "--linear-attn-backend", "auto"}, config)
          .ok());
  EXPECT_FALSE(Parse({"--model", "m", "--mamba-backend", "triton"}, config).ok());
  EXPECT_FALSE(Parse({"--model", "m", "--linear-attn-decode-backend", "cutedsl"}, config).ok());
}

TEST(EngineFlags, ValuesAreChecked) {
  for (std::vector<std::string> bad :
       std::vector<std::vector<std::string>>{{},
                                             {"--model-path", "m", "--page-size", "0"},
                                             {"--model-path", "m", "--page-size", "x"},
                                             {"--model-path", "m", "--dtype", "int8"},
                                             {"--model-path", "m", "--device", "tpu"},
                                             {"--model-path", "m", "--context-length", "-5"},
                                             {"--model-path", "m", "--mem-fraction-static", "1.5"},
                                             {"--model-path", "m", "--random-seed", "-1"},
                                             {"--model-path", "m", "--watchdog-timeout", "nan"}}) {
    EngineConfig config;
    EXPECT_FALSE(Parse(bad, config).ok()) << bad.size();
  }
}

TEST(EngineFlags, CudaIsRefusedWithTheReason) {
  EngineConfig config;
  const std::string said = Message(Parse({"--model-path", "m", "--device", "cuda"}, config));
  EXPECT_NE(said.find("--device"), std::string::npos) << said;
  EXPECT_NE(said.find("no CUDA kernels yet"), std::string::npos) << said;
}

}  // namespace
}  // namespace banyan
