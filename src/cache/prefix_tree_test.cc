// SPDX-License-Identifier: Apache-2.0
#include "cache/prefix_tree.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "base/json.h"
#include "cache/recorded_prefixes.h"

namespace banyan {
namespace {

using Tokens = std::vector<TokenId>;

// Every file of recorded sequences.
TEST(PrefixTreeTest, ExactAnswersOfTheRecordedSequences) {
  const std::filesystem::path folder =
      std::filesystem::path(BANYAN_SOURCE_DIR) / "../shared/data/prefix_cache";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
  int number = 0;
  for (const auto& [path, page_size] : FindRecordedPrefixes(folder)) {
    SCOPED_TRACE(path.filename());
    PrefixTree tree({}, {}, page_size, EvictionPolicy::kLru);
    std::ifstream file(path);
    for (std::string line; std::getline(file, line); ++number) {
      const json::object record = ParseJsonObject(line, "line").value();
      Tokens tokens;
      for (const json::value& token : record.at("tokens").as_array()) {
        tokens.push_back(static_cast<TokenId>(token.as_int64()));
      }
      const json::value* key = record.if_contains("key");
      const std::string name = key == nullptr ? "" : json::serialize(*key);
      ASSERT_EQ(tree.Insert(name, tokens), record.at("expect_match").as_int64()) << number;
      ASSERT_EQ(tree.num_tokens(), record.at("expect_total_after_insert").as_int64()) << number;
    }
    EXPECT_TRUE(tree.Check([](KindId, PageId) {}).ok());
  }
  EXPECT_GT(number, 1000);
}

TEST(PrefixTreeTest, AgreesWithABruteForceSetOfPages) {
  for (const int page_size : {1, 2, 4, 16, 64}) {
    std::mt19937 rng(page_size);
    PrefixTree tree({}, {}, page_size, EvictionPolicy::kLru);
    std::set<std::pair<std::string, Tokens>> pages;  // every prefix of whole pages
    std::vector<Tokens> seen = {{}};
    for (int i = 0; i < 1500; ++i) {
      Tokens tokens = seen[rng() % seen.size()];
      tokens.resize(rng() % (tokens.size() + 1));
      for (size_t n = rng() % (3 * page_size + 1); n > 0; --n) {
        tokens.push_back(static_cast<TokenId>(rng() % 2));
      }
      if (tokens.size() < static_cast<size_t>(40 * page_size)) seen.push_back(tokens);
      const std::string name = rng() % 3 == 0 ? "adapter" : "";
      Position expected = 0;
      bool matching = true;
      for (size_t end = page_size; end <= tokens.size(); end += page_size) {
        const bool known =
            !pages.emplace(name, Tokens(tokens.begin(), tokens.begin() + end)).second;
        matching = matching && known;
        if (matching) expected = static_cast<Position>(end);
      }
      ASSERT_EQ(tree.Match(name, tokens).deepest.position, expected);
      ASSERT_EQ(tree.Insert(name, tokens), expected) << "page size " << page_size;
      ASSERT_EQ(tree.num_tokens(), static_cast<int64_t>(pages.size()) * page_size);
    }
    const Status status = tree.Check([](KindId, PageId) {});
    EXPECT_TRUE(status.ok()) << status;
  }
}

}  // namespace
}  // namespace banyan
