// SPDX-License-Identifier: Apache-2.0
#include "engine/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "cache/kinds/kind.h"
#include "engine/generation_config.h"
#include "engine/memory_plan.h"

namespace banyan {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Variable {
  Variable(const char* name, const char* value) : name(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name); }
  const char* name;
};

TEST(EngineConfig, NamesTheSettingThatCannotBe) {
  EngineConfig config;
  EXPECT_THAT(Message(config.Validate()), HasSubstr("--model-path"));
  config.model_path = "m";
  EXPECT_TRUE(config.Validate().ok());
  config.page_size = 0;
  EXPECT_THAT(Message(config.Validate()), HasSubstr("--page-size"));
  config = EngineConfig{.model_path = "m", .dtype = "fp8"};
  EXPECT_THAT(Message(config.Validate()), HasSubstr("--dtype"));
  config = EngineConfig{.model_path = "m", .device = "xpu"};
  EXPECT_THAT(Message(config.Validate()),
              AllOf(HasSubstr("--device: \"xpu\""), HasSubstr("give --device cpu")));
}

TEST(ReadEnvironment, HonoursOrWarnsAbout) {
  Variable waiting("SGLANG_REQ_WAITING_TIMEOUT", "2.5");
  Variable original("SGLANG_RETURN_ORIGINAL_LOGPROB", "true");
  Variable spec("SGLANG_ENABLE_SPEC_V2", "1");
  Variable unknown("SGLANG_SOMETHING", "1");
  Variable home("HF_HOME", "/h");
  EngineConfig config;
  const auto warnings = ReadEnvironment(config);
  ASSERT_TRUE(warnings.ok());
  EXPECT_EQ(config.request_waiting_timeout, 2.5);
  EXPECT_TRUE(config.return_original_logprob);
  EXPECT_EQ(config.hub.cache_dir, "/h/hub");
  EXPECT_THAT(*warnings, Contains(HasSubstr("SGLANG_ENABLE_SPEC_V2")));
  EXPECT_THAT(*warnings, Contains(HasSubstr("SGLANG_SOMETHING")));
  EXPECT_THAT(*warnings, testing::Not(Contains(HasSubstr("WAITING"))));
}

TEST(ReadEnvironment, RefusesMalformedValues) {
  Variable waiting("SGLANG_REQ_WAITING_TIMEOUT", "soon");
  EngineConfig config;
  EXPECT_THAT(Message(ReadEnvironment(config).status()), HasSubstr("SGLANG_REQ_WAITING_TIMEOUT"));
}

TEST(GenerationConfig, IsReadOrRefusedByKey) {
  const auto config = ParseGenerationConfig(
      R"({"eos_token_id": [2, 3], "temperature": 0.6, "top_k": 0, "do_sample": true})");
  ASSERT_TRUE(config.ok());
  EXPECT_THAT(config->end_ids, ElementsAre(2, 3));
  EXPECT_FLOAT_EQ(config->sampling.temperature, 0.6f);
  EXPECT_EQ(config->sampling.top_k, -1);
  EXPECT_EQ(config->sampling.top_p, 1.0f);
  EXPECT_THAT(ParseGenerationConfig(R"({"eos_token_id": 2})")->end_ids, ElementsAre(2));
  EXPECT_THAT(Message(ParseGenerationConfig(R"({"top_p": "high"})").status()), HasSubstr("top_p"));
  EXPECT_THAT(Message(ParseGenerationConfig(R"({"top_p": 0})").status()), HasSubstr("top_p"));
  EXPECT_THAT(Message(ParseGenerationConfig("[]").status()), HasSubstr("generation_config.json"));
  EXPECT_THAT(Message(ParseGenerationConfig(R"({"eos_token_id": [4294967298]})").status()),
              HasSubstr("eos_token_id"));
  EXPECT_TRUE(ReadGenerationConfig("/nowhere")->json.empty());
}

TEST(GenerationConfig, WhatHasNoEffectIsNamed) {
  const auto config = ParseGenerationConfig(
      R"({"suppress_tokens": [3], "no_repeat_ngram_size": 2, "num_beams": 1, "typical_p": 1.0,
          "bad_words_ids": null, "begin_suppress_tokens": [], "stop_strings": "END"})");
  ASSERT_TRUE(config.ok());
  EXPECT_THAT(
      config->without_effect,
      testing::UnorderedElementsAre("suppress_tokens", "no_repeat_ngram_size", "stop_strings"));
}

nn::ModelInfo Model(int64_t bytes_per_token) {
  nn::ModelInfo model;
  model.context_length = 1000;
  CacheGroupSpec group;
  group.segments.push_back(
      {.heads = 1, .dim = static_cast<int>(bytes_per_token), .dtype = DType::kU8});
  model.cache_groups = {group};
  return model;
}

TEST(PlanMemory, TakesItsShareOfWhatIsFree) {
  EngineConfig config;
  config.mem_fraction_static = 0.5;
  nn::ModelInfo model = Model(10);
  model.weight_bytes = 1000;
  const auto plan = PlanMemory(config, model, 100000);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(config.max_total_tokens, (50000 - 1000) / 10 / 16 * 16);
  EXPECT_EQ(plan->pages_per_group[0], (50000 - 1000) / 10 / 16);
  EXPECT_EQ(config.context_length, 1000);
  EXPECT_EQ(plan->max_length, 1000);
}

TEST(PlanMemory, LessThanAPageIsRefusedAsSuch) {
  EngineConfig config;
  config.max_total_tokens = 5;
  EXPECT_THAT(Message(PlanMemory(config, Model(1), int64_t{1} << 40).status()),
              HasSubstr("--max-total-tokens 5 is less than one page of 16 tokens"));
}

TEST(PlanMemory, HoldsNoMoreThanCouldBeUsed) {
  EngineConfig config;
  config.max_running_requests = 2;
  ASSERT_TRUE(PlanMemory(config, Model(1), int64_t{1} << 40).ok());
  EXPECT_EQ(config.max_total_tokens, 2 * 63 * 16);  // whole pages of each
}

// One group of each sort: full attention and a window of 64 at 10 bytes a token, states of 1000.
nn::ModelInfo Hybrid() {
  nn::ModelInfo model = Model(10);
  model.cache_groups.push_back(model.cache_groups[0]);
  model.cache_groups[1].type = CacheKindType::kWindow;
  model.cache_groups[1].window = 64;
  model.cache_groups.push_back({.type = CacheKindType::kState});
  model.cache_groups[2].segments.push_back({.heads = 1, .dim = 250});
  return model;
}

TEST(PlanMemory, SharesWhatThereIsAmongTheGroups) {
  EngineConfig config;
  config.mem_fraction_static = 1.0;
  config.chunked_prefill_size = 16;
  const auto plan = PlanMemory(config, Hybrid(), 190'000);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->pages_per_group[2], 90);  // 0.9 : 1
  const int64_t full = plan->pages_per_group[0], window = plan->pages_per_group[1];
  EXPECT_EQ(window, full * 16 * 8 / 10 / 16);
  EXPECT_LE((full + window) * 160, 100'000);
  EXPECT_GT((full + window + 2) * 160, 100'000);
}

TEST(PlanMemory, AWindowHoldsOneRequestHoweverSmallItsShare) {
  EngineConfig config;
  config.swa_full_tokens_ratio = 0.01;
  config.chunked_prefill_size = 16;
  config.max_total_tokens = 800;
  config.max_mamba_cache_size = 3;
  const auto plan = PlanMemory(config, Hybrid(), 1 << 20);
  ASSERT_TRUE(plan.ok());
  // The window, what is kept before it for those that go on, a chunk and the pages at both ends.
  const int64_t tokens = 64 + CacheKind::ResumeSlack(16, config.mamba_track_interval) + 16 + 32;
  EXPECT_EQ(plan->pages_per_group, (std::vector<int64_t>{50, tokens / 16, 3}));
}

TEST(PlanMemory, SaysWhenNotOnePageFits) {
  EngineConfig config;
  const auto plan = PlanMemory(config, Model(1000), 10000);
  EXPECT_EQ(plan.status().code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(Message(plan.status()), HasSubstr("16000"));
}

}  // namespace
}  // namespace banyan
