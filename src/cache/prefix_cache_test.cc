// SPDX-License-Identifier: Apache-2.0
#include "cache/prefix_cache.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <random>
#include <set>

namespace banyan {
namespace {

using Tokens = std::vector<TokenId>;

std::unique_ptr<PrefixCache> MakeCache(std::vector<CacheGroupSpec> groups, int64_t pages,
                                       int page_size, std::string policy = "lru") {
  PrefixCacheConfig config;
  config.pages_per_group.assign(groups.size(), pages);
  config.groups = std::move(groups);
  config.page_size = page_size;
  config.eviction_policy = std::move(policy);
  return PrefixCache::Create(std::move(config)).value();
}

// Computes tokens as a request would, in one step, and leaves them in the tree.
Position Use(PrefixCache& cache, const Tokens& tokens, int priority = 0) {
  std::vector<PageChange> changes;
  const TreeMatch match = cache.Match("", tokens);
  CacheLease lease = cache.Acquire("", match, priority);
  EXPECT_TRUE(lease.Reserve(static_cast<Position>(tokens.size()), &changes));
  lease.Publish(tokens, static_cast<Position>(tokens.size()), priority, &changes);
  return match.resume.position;
}

Tokens Count(TokenId first, int n) {
  Tokens tokens(n);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

// Least recently used, to the page: what is gone after each eviction is exactly what was used
// longest ago, with all that hung below it, and as many pages came free.
TEST(PrefixCacheTest, EvictsExactlyTheLeastRecentlyUsed) {
  for (const int page_size : {1, 4}) {
    std::mt19937 rng(page_size);
    constexpr int64_t kPages = 60;
    auto cache = MakeCache({{.name = "full"}}, kPages, page_size);
    std::map<Tokens, int> last_use;  // every prefix of whole pages that ought to be there
    std::vector<Tokens> seen = {{}};
    for (int time = 1; time < 3000; ++time) {
      Tokens tokens = seen[rng() % seen.size()];
      tokens.resize(rng() % (tokens.size() + 1));
      for (size_t n = rng() % (4 * page_size); n > 0; --n) tokens.push_back(rng() % 3);
      tokens.resize(std::min<size_t>(tokens.size(), 30 * page_size));
      seen.push_back(tokens);
      if (seen.size() > 40) seen.erase(seen.begin() + rng() % 40);

      Position expected = 0;
      for (size_t end = page_size; end <= tokens.size(); end += page_size) {
        if (!last_use.contains(Tokens(tokens.begin(), tokens.begin() + end))) break;
        expected = static_cast<Position>(end);
      }
      ASSERT_EQ(Use(*cache, tokens), expected);
      for (size_t end = page_size; end <= tokens.size(); end += page_size) {
        last_use[Tokens(tokens.begin(), tokens.begin() + end)] = time;
      }
      // What has been evicted to make room.
      int newest_gone = 0;
      for (auto it = last_use.begin(); it != last_use.end();) {
        const auto length = static_cast<Position>(it->first.size());
        if (cache->Match("", it->first).resume.position == length) {
          ++it;
        } else {
          newest_gone = std::max(newest_gone, it->second);
          it = last_use.erase(it);
        }
      }
      for (const auto& [prefix, use] : last_use) {
        EXPECT_GE(use, newest_gone) << "evicted out of order";
      }
      EXPECT_LT(newest_gone, time);
      ASSERT_EQ(cache->tree().pages(0), static_cast<int64_t>(last_use.size()));
      const Status status = cache->CheckInvariants();
      ASSERT_TRUE(status.ok()) << status;
    }
  }
}

// Which of three prefixes goes when a fourth needs its place.
std::string EvictedFirst(const std::string& policy) {
  auto cache = MakeCache({{.name = "full"}}, 40, 1, policy);
  const std::map<std::string, Tokens> prefixes = {
      {"a", Count(100, 10)}, {"b", Count(200, 10)}, {"c", Count(300, 10)}};
  Use(*cache, prefixes.at("a"), 5);
  Use(*cache, prefixes.at("b"), 9);
  Use(*cache, prefixes.at("c"), 1);
  Use(*cache, prefixes.at("a"), 5);
  Use(*cache, prefixes.at("a"), 5);
  Use(*cache, prefixes.at("c"), 1);
  Use(*cache, prefixes.at("b"), 9);
  Use(*cache, prefixes.at("b"), 9);
  Use(*cache, prefixes.at("b"), 9);
  Use(*cache, Count(400, 20));
  std::string gone;
  for (const auto& [name, tokens] : prefixes) {
    if (cache->Match("", tokens).resume.position == 0) gone += name;
  }
  return gone;
}

TEST(PrefixCacheTest, PoliciesChooseAsTheySay) {
  EXPECT_EQ(EvictedFirst("lru"), "a");
  EXPECT_EQ(EvictedFirst("lfu"), "c");
  EXPECT_EQ(EvictedFirst("slru"), "a");
  EXPECT_EQ(EvictedFirst("fifo"), "a");
  EXPECT_EQ(EvictedFirst("priority"), "c");
}

TEST(PrefixCacheTest, FencedPagesComeBackWhenThePlanHasEnded) {
  auto cache = MakeCache({{.name = "full"}}, 10, 1);
  std::vector<PageChange> changes;
  CacheLease lease = cache->Acquire("", {}, 0);
  ASSERT_TRUE(lease.Reserve(10, &changes));
  EXPECT_EQ(changes.size(), 10u);
  EXPECT_FALSE(lease.Reserve(11, &changes));
  cache->PlanIssued(1);
  cache->ReleaseAfter(std::move(lease));
  EXPECT_EQ(cache->Available(0), 0);
  EXPECT_EQ(cache->fenced(0), 10);
  cache->PlanEnded(1);
  EXPECT_EQ(cache->Available(0), 10);
  EXPECT_TRUE(cache->CheckInvariants().ok());
}

TEST(PrefixCacheTest, TwoRequestsThatComputeTheSameKeepOneCopy) {
  auto cache = MakeCache({{.name = "full"}}, 30, 1);
  const Tokens tokens = Count(0, 10);
  std::vector<PageChange> changes;
  CacheLease first = cache->Acquire("", {}, 0);
  CacheLease second = cache->Acquire("", {}, 0);
  ASSERT_TRUE(first.Reserve(10, &changes));
  ASSERT_TRUE(second.Reserve(10, &changes));
  first.Publish(tokens, 10, 0, &changes);
  changes.clear();
  second.Publish(tokens, 10, 0, &changes);
  EXPECT_EQ(changes.size(), 10u);
  EXPECT_TRUE(std::equal(first.pages(0).begin(), first.pages(0).end(), second.pages(0).begin()));
  EXPECT_EQ(cache->Available(0), 20);
  first.Release();
  EXPECT_EQ(cache->Available(0), 20) << "the second still holds them";
  second.Release();
  EXPECT_EQ(cache->Available(0), 30);
  EXPECT_TRUE(cache->CheckInvariants().ok());
}

// A long generation holds the window and no more, and a request resumes only where it is there.
TEST(PrefixCacheTest, WindowPagesAreGivenBackWhileDecoding) {
  auto cache = MakeCache({{.type = CacheKindType::kWindow, .window = 32, .name = "w"}}, 40, 4);
  std::vector<PageChange> changes;
  Tokens tokens;
  {
    CacheLease lease = cache->Acquire("", {}, 0);
    for (Position p = 0; p < 5000; ++p) {
      tokens.push_back(static_cast<TokenId>(p));
      ASSERT_TRUE(lease.Reserve(p + 1, &changes));
      lease.Advance(p + 1);
      ASSERT_LE(cache->usage(0).leased, (32 + CacheKind::ResumeSlack(4, 0)) / 4 + 2);
    }
    lease.Publish(tokens, 5000, 0, &changes);
  }
  EXPECT_EQ(cache->Match("", tokens).resume.position, 5000);
  // A stop string may be found late.
  EXPECT_EQ(cache->Match("", std::span(tokens).first(4992)).resume.position, 4992);
  EXPECT_EQ(cache->Match("", std::span(tokens).first(4984)).resume.position, 0);
  EXPECT_TRUE(cache->CheckInvariants().ok());
}

// Two that share a long node let go of what both have passed, whichever of them cuts it.
TEST(PrefixCacheTest, TightenedLeasesOfOneNodeHoldTheirWindow) {
  auto cache = MakeCache({{.type = CacheKindType::kWindow, .window = 8, .name = "w"}}, 100, 4);
  const Tokens tokens = Count(0, 80);
  Use(*cache, tokens);
  const TreeMatch match = cache->Match("", tokens);
  ASSERT_EQ(match.resume.position, 80);
  CacheLease one = cache->Acquire("", match, 0), other = cache->Acquire("", match, 0);
  EXPECT_EQ(cache->Available(0), 80) << "all of the node is locked";
  EXPECT_TRUE(one.Tighten(80));
  EXPECT_TRUE(other.Tighten(80));
  EXPECT_GE(cache->Available(0), 95);
  EXPECT_FALSE(one.Tighten(80));
  EXPECT_FALSE(other.Tighten(80));
  EXPECT_TRUE(cache->CheckInvariants().ok());
}

TEST(PrefixCacheTest, ARecomputedWindowHeals) {
  auto cache = MakeCache({{.type = CacheKindType::kFull, .name = "f"},
                          {.type = CacheKindType::kWindow, .window = 8, .name = "w"}},
                         40, 4);
  std::vector<PageChange> changes;
  Tokens tokens(64);
  std::iota(tokens.begin(), tokens.end(), 0);
  const auto front = std::span<const TokenId>(tokens).first(32);
  CacheLease lease = cache->Acquire("", {}, 0);
  ASSERT_TRUE(lease.Reserve(64, &changes));
  lease.Advance(64);
  lease.Publish(tokens, 64, 0, &changes);
  lease.Release();
  ASSERT_EQ(cache->Match("", front).resume.position, 0) << "its window is gone";

  lease = cache->Acquire("", cache->Match("", front), 0);
  ASSERT_TRUE(lease.Reserve(32, &changes));
  lease.Publish(front, 32, 0, &changes);
  lease.Release();
  EXPECT_EQ(cache->Match("", front).resume.position, 32);
  EXPECT_EQ(cache->Match("", tokens).resume.position, 64);
  EXPECT_EQ(cache->usage(0).free, 40 - 64 / 4) << "what was there is not kept twice";
  EXPECT_TRUE(cache->CheckInvariants().ok());
}

TEST(PrefixCacheTest, AFailedReservationTakesNothing) {
  auto cache = MakeCache({{.type = CacheKindType::kFull, .name = "f"},
                          {.type = CacheKindType::kWindow, .window = 8, .name = "w"},
                          {.type = CacheKindType::kState, .name = "s"}},
                         10, 4);
  std::vector<PageChange> changes;
  CacheLease lease = cache->Acquire("", {}, 0);
  EXPECT_FALSE(lease.Reserve(41, &changes));
  EXPECT_TRUE(changes.empty());
  for (KindId kind = 0; kind < cache->kinds(); ++kind)
    EXPECT_EQ(cache->usage(kind).free, 10) << kind;
  EXPECT_TRUE(cache->CheckInvariants().ok());
  EXPECT_TRUE(lease.Reserve(40, &changes)) << "it may yet have what there is";
}

TEST(PrefixCacheTest, TellsOfEachEviction) {
  struct Observer final : EvictionObserver {
    void OnEvictionBegins() override { ++begun; }
    void OnEvictionEnds(int64_t count) override { pages.push_back(count); }
    int begun = 0;
    std::vector<int64_t> pages;
  } observer;
  PrefixCacheConfig config = {.groups = {{.name = "full"}}, .pages_per_group = {10}};
  config.eviction_observer = &observer;
  const auto cache = PrefixCache::Create(std::move(config)).value();
  Use(*cache, Count(0, 8));
  EXPECT_EQ(observer.begun, 0) << "there was room";
  Use(*cache, Count(100, 5));
  EXPECT_EQ(observer.begun, 1);
  ASSERT_EQ(observer.pages.size(), 1u);
  EXPECT_GE(observer.pages[0], 3);
}

TEST(PrefixCacheTest, SettingsThatCannotBeAreNamed) {
  PrefixCacheConfig config;
  config.groups = {{.type = CacheKindType::kWindow, .name = "w"}};
  config.pages_per_group = {8};
  EXPECT_NE(Message(PrefixCache::Create(config).status()).find("window 0"), std::string::npos);
  config.groups[0].window = 4;
  config.pages_per_group = {0};
  EXPECT_NE(Message(PrefixCache::Create(config).status()).find("0 pages"), std::string::npos);
}

}  // namespace
}  // namespace banyan
