// SPDX-License-Identifier: Apache-2.0
#include "cache/prefix_cache.h"

#include <utility>

#include "base/check.h"

namespace banyan {
namespace {

std::vector<std::unique_ptr<CacheKind>> MakeKinds(const PrefixCacheConfig& config) {
  std::vector<std::unique_ptr<CacheKind>> kinds;
  for (const CacheGroupSpec& group : config.groups) {
    kinds.push_back(CacheKind::Create(group, config.page_size));
  }
  return kinds;
}

std::vector<PagePool> MakePools(const PrefixCacheConfig& config) {
  std::vector<PagePool> pools;
  for (int64_t pages : config.pages_per_group) pools.emplace_back(pages);
  return pools;
}

}  // namespace

StatusOr<std::unique_ptr<PrefixCache>> PrefixCache::Create(PrefixCacheConfig config) {
  if (config.page_size < 1) {
    return InvalidArgument("page_size {} is not positive", config.page_size);
  }
  if (config.groups.size() != config.pages_per_group.size()) {
    return InvalidArgument("{} cache groups but {} pool sizes", config.groups.size(),
                           config.pages_per_group.size());
  }
  for (size_t i = 0; i < config.groups.size(); ++i) {
    const CacheGroupSpec& group = config.groups[i];
    if (config.pages_per_group[i] < 1 || config.pages_per_group[i] >= (int64_t{1} << 31)) {
      return InvalidArgument("cache '{}': {} pages", group.name, config.pages_per_group[i]);
    }
    const bool windowed =
        group.type == CacheKindType::kWindow || group.type == CacheKindType::kChunkedLocal;
    if (windowed && (group.window < 1 || group.sinks < 0)) {
      return InvalidArgument("cache '{}': window {} with {} sinks", group.name, group.window,
                             group.sinks);
    }
  }
  BANYAN_ASSIGN_OR_RETURN(const EvictionPolicy policy, ParseEvictionPolicy(config.eviction_policy));
  return std::unique_ptr<PrefixCache>(new PrefixCache(std::move(config), policy));
}

PrefixCache::PrefixCache(PrefixCacheConfig config, EvictionPolicy policy)
    : config_(std::move(config)),
      fifo_(policy == EvictionPolicy::kFifo),
      kinds_(MakeKinds(config_)),
      pools_(MakePools(config_)),
      tree_(kinds_, pools_, config_.page_size, policy),
      own_(kinds_.size()) {
  for (KindId kind = 0; kind < kinds(); ++kind) {
    if (!kinds_[kind]->paged()) state_kinds_.push_back(kind);
  }
}

TreeMatch PrefixCache::Match(std::string_view name, std::span<const TokenId> tokens) const {
  return config_.disabled ? TreeMatch() : tree_.Match(name, tokens);
}

CacheLease PrefixCache::Acquire(std::string_view name, const TreeMatch& match, int priority) {
  TreePlace place = match.resume;
  if (place.node == kNoNode) place.node = tree_.Root(name);
  if (place.offset > 0 && place.offset < tree_.node(place.node).length) {
    place.node = tree_.Split(place.node, place.offset);
  }
  CacheLease lease(this, place.node, place.position);
  lease.LockPath(priority);
  return lease;
}

void PrefixCache::PlanEnded(uint64_t number) {
  BANYAN_CHECK(number > ended_ && number <= issued_, "plan {} ends after {} of {}", number, ended_,
               issued_);
  ended_ = number;
  for (PagePool& pool : pools_) pool.Retire(number);
  while (!waiting_.empty() && waiting_.front().plan <= number) waiting_.pop_front();
}

void PrefixCache::ReleaseAfter(CacheLease lease) {
  if (lease.held() && in_flight()) waiting_.push_back({issued_, std::move(lease)});
}

int64_t PrefixCache::fenced(KindId kind) const {
  int64_t pages = pools_[kind].fenced();
  for (const Waiting& waiting : waiting_) {
    waiting.lease.ForEachOwn([&](KindId of, PageId) { pages += of == kind; });
  }
  return pages;
}

bool PrefixCache::MakeRoom(KindId kind, int64_t count) {
  const int64_t free = pools_[kind].free();
  return free >= count || free + tree_.Evict(kind, count - free) >= count;
}

void PrefixCache::GiveFenced(KindId kind, PageId page) {
  if (in_flight()) {
    pools_[kind].GiveAfter(page, issued_);
  } else {
    pools_[kind].Give(page);
  }
}

PoolUsage PrefixCache::usage(KindId kind) const {
  const PagePool& pool = pools_[kind];
  return {config_.groups[kind].name,       pool.capacity(), pool.free(), tree_.evictable(kind),
          tree_.locked(kind) + own_[kind], pool.fenced()};
}

std::string PrefixCache::Describe() const {
  std::string text;
  for (KindId kind = 0; kind < kinds(); ++kind) {
    const PoolUsage pool = usage(kind);
    text += fmt::format("{}{}: {} free + {} evictable + {} leased + {} fenced of {} pages",
                        kind > 0 ? "; " : "", pool.name, pool.free, pool.evictable, pool.leased,
                        pool.fenced, pool.total);
  }
  return text;
}

Status PrefixCache::CheckInvariants() const {
  std::vector<std::vector<int>> owners;
  for (const PagePool& pool : pools_) owners.emplace_back(pool.capacity() + 1, 0);
  Status bad;
  const auto visit = [&](KindId kind, PageId page) {
    if (page < 1 || page > pools_[kind].capacity()) {
      bad = Internal("kind {}: page {} does not exist", kind, page);
    } else if (++owners[kind][page] > 1) {
      bad = Internal("kind {}: page {} is in two places", kind, page);
    }
  };
  for (KindId kind = 0; kind < kinds(); ++kind) {
    pools_[kind].ForEach([&](PageId page) { visit(kind, page); });
  }
  BANYAN_RETURN_IF_ERROR(tree_.Check(visit));
  std::vector<uint32_t> locks(static_cast<size_t>(tree_.id_limit()) * kinds());
  for (const CacheLease* lease : leases_) {
    lease->ForEachOwn(visit);
    lease->ForEachLock([&](NodeId id, KindId kind) { ++locks[id * kinds() + kind]; });
  }
  BANYAN_RETURN_IF_ERROR(bad);
  BANYAN_RETURN_IF_ERROR(
      tree_.CheckLocks([&](NodeId id, KindId kind) { return locks[id * kinds() + kind]; }));
  for (KindId kind = 0; kind < kinds(); ++kind) {
    for (PageId page = 1; page <= pools_[kind].capacity(); ++page) {
      if (owners[kind][page] == 0) return Internal("kind {}: page {} is lost", kind, page);
    }
    const PoolUsage pool = usage(kind);
    if (pool.free + pool.evictable + pool.leased + pool.fenced != pool.total) {
      return Internal("miscounted: {}", Describe());
    }
  }
  return OkStatus();
}

}  // namespace banyan
