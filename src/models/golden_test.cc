// SPDX-License-Identifier: Apache-2.0
// Every golden.json at hand against the model itself, without an engine: page tables made by hand,
// prompts whole and in chunks, page sizes 16 and 1, then greedy tokens one by one.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "models/load.h"
#include "models/testing.h"

namespace banyan::models {
namespace {

namespace fs = std::filesystem;

constexpr double kLogprobTolerance = 2e-4;
constexpr double kGap = 1e-3;
// Where values are rounded to 255 steps, one beside the middle between two goes either way.
constexpr double kRoundedTolerance = 0.05, kRoundedMean = 5e-3;

struct Case {
  std::string name;
  fs::path model;   // a folder or a .gguf file
  fs::path config;  // instead of the folder's config.json, or empty
  fs::path golden;
};

std::string Identifier(std::string name) {
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

void AddFolder(const fs::path& folder, const std::string& prefix, std::vector<Case>& cases) {
  const fs::path golden = folder / "golden.json";
  if (!fs::exists(golden)) return;
  const std::string name = prefix + folder.filename().string();
  cases.push_back({name, folder, "", golden});
  if (fs::exists(folder / "config_v4.json"))
    cases.push_back({name + "_v4", folder, folder / "config_v4.json", golden});
  if (fs::exists(folder / "model.gguf"))
    cases.push_back({name + "_gguf", folder / "model.gguf", "", golden});
}

std::vector<Case> FindCases() {
  std::vector<Case> cases;
  const fs::path source = BANYAN_SOURCE_DIR;
  const std::pair<fs::path, std::string> roots[] = {
      {source / "tests/golden/models", ""},
      {source.parent_path() / "shared/data/golden_models", "shared_"},
      {std::getenv("BANYAN_GOLDENS") ? std::getenv("BANYAN_GOLDENS") : "", "extra_"},
  };
  for (const auto& [root, prefix] : roots) {
    if (!fs::is_directory(root)) continue;
    std::vector<fs::path> folders;
    for (const auto& entry : fs::directory_iterator(root)) folders.push_back(entry.path());
    std::sort(folders.begin(), folders.end());
    for (const fs::path& folder : folders) AddFolder(folder, prefix, cases);
  }
  return cases;
}

json::value ReadJson(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  auto value = ParseJson(text.str());
  BANYAN_CHECK(value.ok(), "{}: {}", path.string(), Message(value.status()));
  return *std::move(value);
}

std::vector<TokenId> Ids(const json::value& array) {
  return json::value_to<std::vector<TokenId>>(array);
}

class GoldenTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    fs::path path = GetParam().model;
    if (!GetParam().config.empty()) path = WithConfig(path, GetParam().config);
    auto checkpoint = weights::Checkpoint::Open(path.string());
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    checkpoint_ = *std::move(checkpoint);
    if (checkpoint_->config().contains("quantization_config")) tolerance_ = kRoundedTolerance;
    auto model = LoadModel(device_.context(), *checkpoint_, {.dtype = "float32"});
    // Data from elsewhere may be of families that are not there yet.
    const bool own =
        !GetParam().name.starts_with("shared_") && !GetParam().name.starts_with("extra_");
    if (!own && model.status().code() == StatusCode::kNotFound) GTEST_SKIP() << model.status();
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
  }

  void TearDown() override {
    if (!temporary_.empty()) fs::remove_all(temporary_);
  }

  // A folder with the same weights under another config.
  fs::path WithConfig(const fs::path& folder, const fs::path& config) {
    temporary_ = fs::path(::testing::TempDir()) / ("golden_" + Identifier(GetParam().name));
    fs::remove_all(temporary_);
    fs::create_directories(temporary_);
    fs::create_symlink(folder / "model.safetensors", temporary_ / "model.safetensors");
    fs::copy_file(config, temporary_ / "config.json");
    return temporary_;
  }

  // Logprobs of each next token after tokens[i], as rows of log-softmax over the vocabulary.
  void CheckPrompt(const json::object& golden, int page_size, int chunk) {
    const auto ids = Ids(golden.at("prompt_ids"));
    DirectSequence sequence(device_.context(), *model_, page_size, static_cast<int>(ids.size()));
    const auto rows = sequence.Extend(ids, chunk);
    ASSERT_EQ(rows.size(), ids.size());
    for (std::size_t i = 1; i < ids.size(); ++i) {
      const double expected = golden.at("prompt_logprobs").at(i).to_number<double>();
      Note(rows[i - 1][ids[i]] - expected);
      ASSERT_NEAR(rows[i - 1][ids[i]], expected, tolerance_) << "prompt position " << i;
    }
  }

  void CheckGreedy(const json::object& golden, int page_size) {
    const auto prompt = Ids(golden.at("prompt_ids"));
    const auto greedy = Ids(golden.at("greedy_ids"));
    DirectSequence sequence(device_.context(), *model_, page_size,
                            static_cast<int>(prompt.size() + greedy.size()));
    std::vector<double> row = sequence.Extend(prompt, 0).back();
    for (std::size_t step = 0; step < greedy.size(); ++step) {
      const auto best = std::max_element(row.begin(), row.end()) - row.begin();
      if (golden.at("gap").at(step).to_number<double>() > std::max(kGap, 2 * tolerance_)) {
        ASSERT_EQ(best, greedy[step]) << "step " << step;
      }
      for (const json::value& item : golden.at("greedy_top10").at(step).as_array()) {
        const double expected = item.at(1).to_number<double>();
        const double found = row[item.at(0).to_number<TokenId>()];
        Note(found - expected);
        ASSERT_NEAR(found, expected, tolerance_) << "step " << step;
      }
      row = sequence.Extend(std::span(&greedy[step], 1), 0).back();
    }
  }

  void Note(double error) {
    worst_ = std::max(worst_, std::abs(error));
    sum_ += std::abs(error);
    ++count_;
  }

  TestDevice device_;
  std::unique_ptr<weights::Checkpoint> checkpoint_;
  std::unique_ptr<nn::Model> model_;
  fs::path temporary_;
  double tolerance_ = kLogprobTolerance;
  double worst_ = 0, sum_ = 0;
  int count_ = 0;
};

TEST_P(GoldenTest, Matches) {
  const json::value golden = ReadJson(GetParam().golden);
  for (const json::value& item : golden.as_array()) {
    CheckPrompt(item.as_object(), 16, 0);
    CheckPrompt(item.as_object(), 1, 7);
    CheckGreedy(item.as_object(), 16);
    if (HasFatalFailure()) return;
  }
  EXPECT_LT(sum_ / count_, kRoundedMean);
  RecordProperty("worst_logprob_error", fmt::format("{:.2e}", worst_));
  if (std::getenv("BANYAN_PRINT_ERRORS"))
    fmt::print("{}: {:.2e}, mean {:.2e}\n", GetParam().name, worst_, sum_ / count_);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenTest);
INSTANTIATE_TEST_SUITE_P(All, GoldenTest, ::testing::ValuesIn(FindCases()),
                         [](const auto& info) { return Identifier(info.param.name); });

// tinystories-656k and tiny-random-gpt2 have an expected.json of their own.
class ExpectedTest : public ::testing::Test {
 protected:
  bool Load(const std::string& name) {
    folder_ = fs::path(BANYAN_SOURCE_DIR).parent_path() / "shared/data/models" / name;
    if (!fs::exists(folder_ / "expected.json")) return false;
    checkpoint_ = *weights::Checkpoint::Open(folder_.string());
    auto model = LoadModel(device_.context(), *checkpoint_, {});
    EXPECT_TRUE(model.ok()) << model.status();
    if (model.ok()) model_ = *std::move(model);
    expected_ = ReadJson(folder_ / "expected.json");
    return model.ok();
  }

  std::vector<TokenId> Greedy(std::vector<double> row, DirectSequence& sequence, std::size_t n) {
    std::vector<TokenId> out;
    while (out.size() < n) {
      const auto best = std::max_element(row.begin(), row.end()) - row.begin();
      out.push_back(static_cast<TokenId>(best));
      row = sequence.Extend(std::span(&out.back(), 1), 0).back();
    }
    return out;
  }

  TestDevice device_;
  fs::path folder_;
  std::unique_ptr<weights::Checkpoint> checkpoint_;
  std::unique_ptr<nn::Model> model_;
  json::value expected_;
};

TEST_F(ExpectedTest, Tinystories) {
  if (!Load("tinystories-656k")) GTEST_SKIP() << "../shared/data is not here";
  EXPECT_EQ(model_->info().compute, DType::kF32);
  for (const json::value& item : expected_.at("cases").as_array()) {
    const auto ids = Ids(item.at("prompt_ids")), greedy = Ids(item.at("greedy_ids"));
    DirectSequence sequence(device_.context(), *model_, 16,
                            static_cast<int>(ids.size() + greedy.size()));
    const auto rows = sequence.Extend(ids, 0);
    for (std::size_t i = 1; i < ids.size(); ++i)
      EXPECT_NEAR(rows[i - 1][ids[i]], item.at("prompt_logprobs").at(i).to_number<double>(),
                  kLogprobTolerance);
    EXPECT_EQ(Greedy(rows.back(), sequence, greedy.size()), greedy);
  }
}

TEST_F(ExpectedTest, TinyRandomGpt2) {
  if (!Load("tiny-random-gpt2")) GTEST_SKIP() << "../shared/data is not here";
  for (const json::value& item : expected_.at("greedy").as_array()) {
    const auto ids = Ids(item.at("prompt_ids")), greedy = Ids(item.at("output_ids"));
    DirectSequence sequence(device_.context(), *model_, 16,
                            static_cast<int>(ids.size() + greedy.size()));
    EXPECT_EQ(Greedy(sequence.Extend(ids, 0).back(), sequence, greedy.size()), greedy);
  }
}

}  // namespace
}  // namespace banyan::models
