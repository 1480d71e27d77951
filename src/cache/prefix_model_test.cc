// SPDX-License-Identifier: Apache-2.0
// The tree against a model that knows nothing of trees: a set of known prefixes, each page of which
// is there or not. Random prompts come and go, capacity is small, so that what nobody holds is
// evicted all the time, at random moments and in whatever order the policy has.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "base/fields.h"
#include "base/json.h"
#include "cache/prefix_cache.h"
#include "cache/recorded_prefixes.h"

namespace banyan {
namespace {

using Tokens = std::vector<TokenId>;

// What the pages of the cache hold, by their numbers, as a device would have written it: the whole
// text up to the end of the page.
class Model {
 public:
  Model(PrefixCache& cache, int page_size) : cache_(cache), page_size_(page_size) {}

  // Checks that a match is what the pages say, then runs the prompt as a request does.
  void Run(const std::string& name, const Tokens& tokens, bool hold) {
    const TreeMatch match = cache_.Match(name, tokens);
    const Position matched = match.resume.position;
    ASSERT_EQ(matched % page_size_, 0);
    CacheLease lease = cache_.Acquire(name, match, 0);
    ASSERT_EQ(lease.shared(), matched);
    for (Position end = page_size_; end <= matched; end += page_size_) {
      const PageId page = lease.pages(0)[end / page_size_ - 1];
      ASSERT_EQ(written_.at(page), Text(name, tokens, end)) << "a page of another text";
    }
    std::vector<PageChange> changes;
    if (!lease.Reserve(static_cast<Position>(tokens.size()), &changes)) return;
    const auto end = static_cast<Position>(tokens.size()) / page_size_ * page_size_;
    for (const PageChange& change : changes) {
      const Position stop = Position{change.index + 1} * page_size_;
      if (stop <= end) written_[change.page] = Text(name, tokens, stop);
    }
    lease.Publish(tokens, static_cast<Position>(tokens.size()), 0, &changes);
    for (Position stop = page_size_; stop <= end; stop += page_size_) {
      known_.insert(Text(name, tokens, stop));
    }
    if (hold) held_.push_back(std::move(lease));
  }

  // Every page of the tree is found, by one text and no other; and a text's beginnings with it.
  void CheckAll() {
    for (auto it = known_.begin(); it != known_.end();) {
      const auto& [name, tokens] = *it;
      const auto end = static_cast<Position>(tokens.size());
      const Position found = cache_.Match(name, tokens).resume.position;
      it = found == end ? std::next(it) : known_.erase(it);
    }
    ASSERT_EQ(static_cast<int64_t>(known_.size()), cache_.tree().pages(0));
    for (const auto& [name, tokens] : known_) {
      const auto before = static_cast<Position>(tokens.size()) - page_size_;
      ASSERT_TRUE(before == 0 || known_.contains(Text(name, tokens, before)));
    }
  }

  void LetGo(size_t index) { held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(index)); }
  size_t held() const { return held_.size(); }

 private:
  using Key = std::pair<std::string, Tokens>;
  static Key Text(const std::string& name, const Tokens& tokens, Position end) {
    return {name, Tokens(tokens.begin(), tokens.begin() + end)};
  }
  PrefixCache& cache_;
  const int page_size_;
  std::map<PageId, Key> written_;
  std::set<Key> known_;  // the texts that end with a page which may be in the tree
  std::vector<CacheLease> held_;
};

TEST(PrefixModelTest, RandomTextsUnderEviction) {
  for (const char* policy : {"lru", "lfu", "slru", "fifo", "priority"}) {
    for (const int page_size : {1, 4}) {
      std::mt19937 rng(static_cast<uint32_t>(page_size));
      PrefixCacheConfig config;
      config.groups = {{.type = CacheKindType::kFull, .name = "full"}};
      config.pages_per_group = {60};
      config.page_size = page_size;
      config.eviction_policy = policy;
      auto cache = *PrefixCache::Create(config);
      Model model(*cache, page_size);
      for (int step = 0; step < 4000; ++step) {
        // Few letters, so that texts share beginnings of all lengths.
        Tokens tokens(1 + rng() % (12 * page_size));
        for (TokenId& token : tokens) token = static_cast<TokenId>(rng() % 8 == 0 ? 1 : 0);
        model.Run(rng() % 3 == 0 ? "other" : "", tokens, model.held() < 3 && rng() % 4 == 0);
        if (HasFatalFailure()) return;
        if (model.held() > 0 && rng() % 3 == 0) model.LetGo(rng() % model.held());
        if (rng() % 500 == 0) cache->Flush();
        if (step % 16 == 0) {
          model.CheckAll();
          if (HasFatalFailure()) return;
          ASSERT_TRUE(cache->CheckInvariants().ok()) << cache->CheckInvariants();
        }
      }
    }
  }
}

struct Line {
  std::string name;
  Tokens tokens;
  int64_t match = 0;
};

void PlayThrough(const std::vector<Line>& lines, int page_size, int64_t pages, bool all) {
  PrefixCacheConfig config;
  config.groups = {{.type = CacheKindType::kFull, .name = "full"}};
  config.pages_per_group = {pages};
  config.page_size = page_size;
  auto cache = *PrefixCache::Create(config);
  Model model(*cache, page_size);
  for (const Line& line : lines) {
    const Position match = cache->Match(line.name, line.tokens).resume.position;
    if (all) {
      ASSERT_EQ(match, line.match);
    } else {
      ASSERT_LE(match, line.match);
    }
    model.Run(line.name, line.tokens, false);
    if (testing::Test::HasFatalFailure()) return;
  }
  model.CheckAll();
  ASSERT_TRUE(cache->CheckInvariants().ok()) << cache->CheckInvariants();
}

// The recorded texts, whose matches without eviction are known, through leases in a pool that holds
// them all: every match must be the recorded one; then through one that holds a tenth: never more.
TEST(PrefixModelTest, RecordedTexts) {
  const std::filesystem::path folder =
      std::filesystem::path(BANYAN_SOURCE_DIR) / "../shared/data/prefix_cache";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
  int files = 0;
  for (const auto& [path, page_size] : FindRecordedPrefixes(folder)) {
    SCOPED_TRACE(path.filename());
    std::vector<Line> lines;
    std::ifstream file(path);
    int64_t all = 0, longest = 0;
    for (std::string text; std::getline(file, text);) {
      const json::object object = *ParseJsonObject(text, "line");
      Fields fields(object, "line");
      Line& line = lines.emplace_back();
      line.tokens = fields.Required<std::vector<int>>("tokens");
      if (const json::value* key = fields.Raw("key")) line.name = json::serialize(*key);
      line.match = fields.Required<int64_t>("expect_match");
      ASSERT_TRUE(fields.status().ok()) << fields.status();
      const auto pages = static_cast<int64_t>(line.tokens.size()) / page_size + 1;
      all += pages;
      longest = std::max(longest, pages);
    }
    ASSERT_FALSE(lines.empty());
    ++files;
    PlayThrough(lines, page_size, all, true);
    PlayThrough(lines, page_size, std::max(longest, all / 10), false);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(files, 0);
}

}  // namespace
}  // namespace banyan
