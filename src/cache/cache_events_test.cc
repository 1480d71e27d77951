// SPDX-License-Identifier: Apache-2.0
// What the tree tells its observer is what it holds, and misses are explained.
#include "cache/cache_events.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <random>
#include <set>

#include "cache/prefix_cache.h"

namespace banyan {
namespace {

using Tokens = std::vector<TokenId>;

// A consumer of the events: block by block, what is stored now.
class Mirror final : public TreeObserver {
 public:
  struct Block {
    BlockHash before = 0;
    bool first = false;
    Tokens tokens;
    bool operator==(const Block&) const = default;
  };

  void OnStored(BlockHash before, bool first, std::span<const TokenId> tokens,
                std::span<const BlockHash> hashes) override {
    const size_t page = tokens.size() / hashes.size();
    EXPECT_EQ(page * hashes.size(), tokens.size());
    for (BlockHash hash : hashes) {
      EXPECT_TRUE(first || blocks.contains(before)) << "stored before the block it follows";
      const Tokens own(tokens.begin(), tokens.begin() + page);
      EXPECT_EQ(hash, HashBlock(before, own));
      EXPECT_TRUE(blocks.emplace(hash, Block{before, first, own}).second) << "stored twice";
      tokens = tokens.subspan(page);
      before = hash;
      first = false;
    }
  }
  void OnRemoved(std::span<const BlockHash> hashes) override {
    for (BlockHash hash : hashes)
      EXPECT_EQ(blocks.erase(hash), 1u) << "removed without being there";
    removed += hashes.size();
  }
  void OnCleared() override {
    blocks.clear();
    ++cleared;
  }

  std::map<BlockHash, Block> blocks;
  size_t removed = 0;
  int cleared = 0;
};

struct Kinds {
  const char* name;
  std::vector<CacheGroupSpec> groups;
};

std::vector<Kinds> AllKinds() {
  const CacheGroupSpec full = {.name = "full"};
  const CacheGroupSpec window = {.type = CacheKindType::kWindow, .window = 5, .name = "window"};
  const CacheGroupSpec state = {.type = CacheKindType::kState, .name = "state"};
  return {{"full", {full}},
          {"window", {window}},
          {"full and window", {full, window}},
          {"full and state", {full, state}},
          {"all", {full, window, state}}};
}

std::unique_ptr<PrefixCache> MakeObservedCache(std::vector<CacheGroupSpec> groups, int64_t pages,
                                               int page_size, TreeObserver* observer = nullptr) {
  PrefixCacheConfig config;
  config.pages_per_group.assign(groups.size(), pages);
  config.groups = std::move(groups);
  config.page_size = page_size;
  config.observer = observer;
  return PrefixCache::Create(std::move(config)).value();
}

// Computes tokens as a request would and leaves them in the tree, with a state at their end.
void Use(PrefixCache& cache, std::string_view name, const Tokens& tokens) {
  std::vector<PageChange> changes;
  const auto end = static_cast<Position>(tokens.size());
  CacheLease lease = cache.Acquire(name, cache.Match(name, tokens), 0);
  ASSERT_TRUE(lease.Reserve(end, &changes));
  lease.TakeCopies();
  lease.CopiesEnded();
  if (!cache.state_kinds().empty() && end > lease.shared())
    lease.Snapshot(end / cache.page_size() * cache.page_size(), false);
  lease.Advance(end);
  lease.Publish(tokens, end, 0, &changes);
}

TEST(CacheEvents, AMirrorHoldsWhatTheTreeHolds) {
  for (const Kinds& kinds : AllKinds()) {
    for (const int page_size : {1, 4}) {
      SCOPED_TRACE(testing::Message() << kinds.name << ", pages of " << page_size);
      std::mt19937 rng(7);
      Mirror mirror;
      auto cache = MakeObservedCache(kinds.groups, 40, page_size, &mirror);
      std::vector<Tokens> seen = {{}};
      for (int time = 0; time < 600; ++time) {
        Tokens tokens = seen[rng() % seen.size()];
        tokens.resize(rng() % (tokens.size() + 1));
        for (size_t n = 1 + rng() % (6 * page_size); n > 0; --n) tokens.push_back(rng() % 3);
        tokens.resize(std::min<size_t>(tokens.size(), 20 * page_size));
        if (seen.size() > 30) seen.erase(seen.begin() + rng() % 30);
        seen.push_back(tokens);
        Use(*cache, rng() % 4 == 0 ? "salt" : "", tokens);
        if (time % 100 == 99) cache->Flush();

        ASSERT_TRUE(cache->CheckInvariants().ok());
        Mirror live;
        cache->tree().Visit(live);
        ASSERT_EQ(live.blocks, mirror.blocks) << "after step " << time;
        ASSERT_EQ(static_cast<int64_t>(live.blocks.size()) * page_size, cache->tree().num_tokens());
        if (HasFatalFailure() || HasNonfatalFailure()) return;
      }
      EXPECT_GT(mirror.removed, 100u);
      EXPECT_EQ(mirror.cleared, 6);
    }
  }
}

Tokens Consecutive(TokenId first, int n) {
  Tokens tokens(n);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

CacheMiss Explain(const PrefixCache& cache, std::string_view name, const Tokens& tokens) {
  return cache.Explain(name, tokens, cache.Match(name, tokens));
}

TEST(CacheEvents, MissesAreExplained) {
  auto cache = MakeObservedCache({{.name = "full"}}, 16, 4);
  const Tokens first = Consecutive(0, 32);
  EXPECT_EQ(Explain(*cache, "", first), CacheMiss::kNew);
  Use(*cache, "", first);
  EXPECT_EQ(Explain(*cache, "", first), CacheMiss::kNone);
  EXPECT_EQ(Explain(*cache, "", Consecutive(0, 35)), CacheMiss::kNone)
      << "no whole page is missing";
  EXPECT_EQ(Explain(*cache, "", Consecutive(0, 36)), CacheMiss::kNew);
  EXPECT_EQ(Explain(*cache, "salt", first), CacheMiss::kNamespace);
  EXPECT_EQ(Explain(*cache, "salt", Consecutive(100, 8)), CacheMiss::kNew);
  // A branch inside the first node, then all of it pushed out by others.
  Tokens branch = Consecutive(0, 16);
  branch.resize(32, 7);
  Use(*cache, "", branch);
  Use(*cache, "", Consecutive(1000, 60));
  EXPECT_EQ(Explain(*cache, "", first), CacheMiss::kEvicted);
  EXPECT_EQ(Explain(*cache, "", branch), CacheMiss::kEvicted);
  EXPECT_EQ(Explain(*cache, "salt", Consecutive(1000, 8)), CacheMiss::kNamespace);
  EXPECT_GT(cache->evicted_tokens(), 0);
}

TEST(CacheEvents, AMissingStateAndAWindowThatIsGoneAreTold) {
  const CacheGroupSpec full = {.name = "full"};
  auto states = MakeObservedCache({full, {.type = CacheKindType::kState, .name = "state"}}, 64, 4);
  Use(*states, "", Consecutive(0, 32));
  // Known as far as 16, but the only state lies at 32.
  EXPECT_EQ(Explain(*states, "", Consecutive(0, 16)), CacheMiss::kNoCheckpoint);
  EXPECT_EQ(Explain(*states, "", Consecutive(0, 32)), CacheMiss::kNone);

  const CacheGroupSpec window = {.type = CacheKindType::kWindow, .window = 8, .name = "window"};
  auto windows = MakeObservedCache({full, window}, 64, 4);
  Use(*windows, "", Consecutive(0, 40));
  EXPECT_EQ(Explain(*windows, "", Consecutive(0, 16)), CacheMiss::kWindowGone);
  EXPECT_EQ(Explain(*windows, "", Consecutive(0, 40)), CacheMiss::kNone);
}

TEST(CacheEvents, NothingIsFoundWithoutACache) {
  PrefixCacheConfig config;
  config.groups = {{.name = "full"}};
  config.pages_per_group = {16};
  config.disabled = true;
  auto cache = PrefixCache::Create(std::move(config)).value();
  EXPECT_EQ(Explain(*cache, "", Consecutive(0, 8)), CacheMiss::kDisabled);
}

TEST(RecentHashes, ForgetsTheOldest) {
  RecentHashes recent(3);
  for (uint64_t hash : {1, 2, 1, 3}) recent.Add(hash, hash * 10);
  ASSERT_NE(recent.Find(1), nullptr) << "added again since";
  EXPECT_EQ(*recent.Find(3), 30u);
  recent.Add(4);
  EXPECT_EQ(recent.Find(2), nullptr);
  recent.Add(5);
  EXPECT_EQ(recent.Find(1), nullptr);
}

TEST(PoolUsage, OneLineSaysAll) {
  const PoolUsage pools[] = {{"full", 16, 12, 3, 1, 0}, {"window 8", 4, 0, 0, 3, 1}};
  EXPECT_EQ(Describe(pools),
            "full: 15 available (12 free + 3 evictable) + 1 leased + 0 fenced of 16 pages; "
            "window 8: 0 available (0 free + 0 evictable) + 3 leased + 1 fenced of 4 pages");
}

}  // namespace
}  // namespace banyan
