// SPDX-License-Identifier: Apache-2.0
// Families with attention of their own kinds: the same bits however a prompt is cut; and of those
// with latents the same answers with them expanded.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "models/load.h"
#include "models/testing.h"

namespace banyan::models {
namespace {

class AnyModel : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<nn::Model> Load(const LoadOptions& options) {
    const auto path = std::filesystem::path(BANYAN_SOURCE_DIR) / "tests/golden/models" / GetParam();
    checkpoints_.push_back(*weights::Checkpoint::Open(path.string()));
    return *LoadModel(device_.context(), *checkpoints_.back(), options);
  }

  std::vector<std::vector<double>> Run(nn::Model& model, int page_size, int chunk) {
    std::vector<TokenId> ids;
    for (int i = 0; i < 90; ++i) ids.push_back(3 + i * 37 % 120);
    DirectSequence sequence(device_.context(), model, page_size, 90);
    return sequence.Extend(ids, chunk);
  }

  TestDevice device_;
  std::vector<std::unique_ptr<weights::Checkpoint>> checkpoints_;
};

class LatentModel : public AnyModel {};

TEST_P(AnyModel, SameBitsHoweverCut) {
  for (const char* dtype : {"float32", "bfloat16"}) {
    const auto model = Load({.dtype = dtype});
    const auto whole = Run(*model, 16, 0);
    for (const auto& [page_size, chunk] : {std::pair(16, 7), std::pair(1, 1), std::pair(64, 33)})
      EXPECT_EQ(Run(*model, page_size, chunk), whole)
          << dtype << ", pages of " << page_size << ", chunks of " << chunk;
  }
}

TEST_P(LatentModel, ExpandedIsEqual) {
  const auto model = Load({.dtype = "float32"});
  const auto expanded = Load({.dtype = "float32", .expand_latents = 8});
  const auto want = Run(*model, 16, 0), got = Run(*expanded, 16, 0), cut = Run(*expanded, 1, 30);
  double worst = 0.0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    for (std::size_t j = 0; j < want[i].size(); ++j) {
      worst = std::max(worst, std::abs(got[i][j] - want[i][j]));
      worst = std::max(worst, std::abs(cut[i][j] - want[i][j]));
    }
  }
  EXPECT_LT(worst, 2e-4);
  const bool chooses = GetParam().find("v32") != std::string::npos;  // always absorbed
  EXPECT_EQ(got == want, chooses) << "the latents were not expanded";
}

class MaskedModel : public AnyModel {};

// What weighs the positions is not rounded to the cache's type.
TEST_P(MaskedModel, ChoosesTheSameInFewerBits) {
  const auto exact = Load({.dtype = "float32"}), rounded = Load({.dtype = "float16"});
  const auto want = Run(*exact, 16, 0), got = Run(*rounded, 16, 0);
  double worst = 0.0;
  for (std::size_t i = 0; i < want.size(); ++i)
    for (std::size_t j = 0; j < want[i].size(); ++j)
      worst = std::max(worst, std::abs(got[i][j] - want[i][j]));
  EXPECT_LT(worst, 0.05);
}

std::string Name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::ranges::replace_if(
      name, [](char c) { return !std::isalnum(c); }, '_');
  return name;
}

const auto kLatent = ::testing::Values("youtu", "youtu/model.gguf", "deepseek_v2", "deepseek_v3",
                                       "deepseek_v32", "minicpm3");
INSTANTIATE_TEST_SUITE_P(Latent, AnyModel, kLatent, Name);
INSTANTIATE_TEST_SUITE_P(Latent, LatentModel, kLatent, Name);
INSTANTIATE_TEST_SUITE_P(Others, AnyModel,
                         ::testing::Values("bitnet_bitlinear", "diffllama", "doge", "doge_moe",
                                           "doge_window"),
                         Name);
INSTANTIATE_TEST_SUITE_P(Masked, MaskedModel, ::testing::Values("doge"), Name);

}  // namespace
}  // namespace banyan::models
