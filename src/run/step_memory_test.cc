// SPDX-License-Identifier: Apache-2.0
// Every family's tiny model: what a pass without arithmetic says of the largest step is what the
// steps then take.
#include "run/step_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "device/testing.h"
#include "models/load.h"
#include "run/cpu_device.h"
#include "run/runner.h"

namespace banyan {
namespace {

namespace fs = std::filesystem;

constexpr int kPageTokens = 4;
constexpr int kRows = 3;
constexpr int kTokens = 20;
constexpr int kLength = 24;

const fs::path kModels = fs::path(BANYAN_SOURCE_DIR) / "tests/golden/models";

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kModels)) {
    if (fs::exists(entry.path() / "config.json")) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class StepMemoryTest : public ::testing::TestWithParam<std::string> {
 protected:
  std::shared_ptr<nn::Model> Load(const std::string& name) {
    checkpoint_ = *weights::Checkpoint::Open((kModels / name).string());
    auto model = models::LoadModel(device_->context(), *checkpoint_, {});
    EXPECT_TRUE(model.ok()) << Message(model.status());
    return model.ok() ? *std::move(model) : nullptr;
  }

  std::unique_ptr<CpuDevice> device_ = *CpuDevice::Create("auto", 0);
  std::unique_ptr<weights::Checkpoint> checkpoint_;
};

TEST_P(StepMemoryTest, IsWhatTheStepsTake) {
  const std::shared_ptr<nn::Model> model = Load(GetParam());
  ASSERT_NE(model, nullptr);
  std::atomic<int32_t> place{0};
  ops::OpContext context = device_->context();
  context.place = &place;
  const auto memory = MeasureStep(context, *model,
                                  {.tokens = kTokens,
                                   .rows = kRows,
                                   .length = kLength,
                                   .cached_tokens = int64_t{kRows} * kLength,
                                   .logit_rows = 8,
                                   .page_size = kPageTokens});
  ASSERT_TRUE(memory.ok()) << Message(memory.status());
  EXPECT_EQ(model->PlaceName(place), "logits");

  const std::vector<CacheGroupSpec>& groups = model->info().cache_groups;
  const std::vector<int64_t> pages(groups.size(), int64_t{kRows} * kLength / kPageTokens);
  Runner runner(device_->context(), model,
                *nn::CachePools::Allocate(device_->backend(), groups, pages, kPageTokens),
                {.max_rows = kRows, .max_logit_bytes = memory->logit_bytes});
  ASSERT_TRUE(runner.Reserve(*memory).ok());
  const auto run = [&](const StepPlan& plan) {
    const StepOutcome outcome = runner.Execute(plan);
    EXPECT_TRUE(outcome.error.ok()) << Message(outcome.error);
    const ops::Scratch& scratch = *device_->context().scratch;
    EXPECT_LE(scratch.peak(), static_cast<std::size_t>(memory->scratch_bytes));
    EXPECT_EQ(runner.scratch_bytes(), memory->bytes()) << "step " << plan.number;
    return scratch.peak();
  };

  // Two rows decode while a third has its prompt computed, as long as both allow.
  StepPlan plan{.number = 1};
  for (RowId row = 0; row < kRows; ++row) {
    plan.opened.push_back({.row = row, .sampling = {.temperature = 1}});
    for (KindId group = 0; group < static_cast<KindId>(groups.size()); ++group) {
      const bool state = groups[group].type == CacheKindType::kState;
      for (int i = 0; i < (state ? 1 : kLength / kPageTokens); ++i)
        plan.pages.push_back({row, group, i, 1 + row * (state ? 1 : kLength / kPageTokens) + i});
    }
  }
  const auto span = [&](RowId row, int tokens, int length) {
    Span out{.row = row, .num_tokens = tokens, .length_bound = length, .sample = true};
    for (int i = 0; i < tokens; ++i) out.tokens.push_back((row * 7 + i * 5) % 50);
    return out;
  };
  plan.spans = {span(0, 9, 9), span(1, 11, 11)};
  run(plan);
  plan = {.number = 2};
  for (RowId row : {0, 1})
    plan.spans.push_back({.row = row, .num_tokens = 1, .length_bound = 12, .sample = true});
  plan.spans.push_back(span(2, kTokens - 2, kTokens - 2));
  const std::size_t most = run(plan);
  // Not far beyond either. What keys are expanded or chosen for grows with what is in the cache.
  EXPECT_GE(4 * most, static_cast<std::size_t>(memory->scratch_bytes));
  plan = {.number = 3};
  for (RowId row : {0, 1, 2})
    plan.spans.push_back({.row = row, .num_tokens = 1, .length_bound = 20, .sample = true});
  run(plan);
}

INSTANTIATE_TEST_SUITE_P(Models, StepMemoryTest, testing::ValuesIn(Names()),
                         [](const auto& info) { return info.param; });

class NamedPlacesTest : public StepMemoryTest {};

TEST_F(NamedPlacesTest, ArePartsOfTheModel) {
  const auto names = [&](const std::string& model, std::vector<int32_t> places) {
    const std::shared_ptr<nn::Model> loaded = Load(model);
    std::vector<std::string> out;
    for (const int32_t place : places) out.push_back(loaded->PlaceName(place));
    return out;
  };
  EXPECT_EQ(names("llama", {0, 1, 2, 3}),
            (std::vector<std::string>{"embedding", "layer 0 attention", "layer 0 mlp",
                                      "layer 1 attention"}));
  EXPECT_EQ(names("qwen3_moe", {2}), std::vector<std::string>{"layer 0 experts"});
  EXPECT_EQ(names("mamba2", {1}), std::vector<std::string>{"layer 0 mamba"});
}

TEST_F(NamedPlacesTest, TooLargeAStepIsRefusedWithoutATrace) {
  const std::shared_ptr<nn::Model> model = Load("llama");
  LimitedBackend backend(std::size_t{1} << 20);
  ops::OpContext context = device_->context();
  context.backend = &backend;
  const StepShape shape{
      .tokens = 4096, .length = 64, .cached_tokens = 64, .page_size = kPageTokens};
  EXPECT_EQ(MeasureStep(context, *model, shape).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(backend.held(), 0u);
}

}  // namespace
}  // namespace banyan
