// SPDX-License-Identifier: Apache-2.0
#include "cache/prefix_cache.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace banyan {
namespace {

std::vector<std::unique_ptr<CacheKind>> MakeKinds(const PrefixCacheConfig& config) {
  std::vector<std::unique_ptr<CacheKind>> kinds;
  const bool state = std::any_of(config.groups.begin(), config.groups.end(), [](const auto& group) {
    return group.type == CacheKindType::kState;
  });
  const Position slack =
      config.disabled
          ? 0
          : CacheKind::ResumeSlack(config.page_size, state ? config.checkpoint_interval : 0);
  for (const CacheGroupSpec& group : config.groups) {
    kinds.push_back(CacheKind::Create(group, config.page_size, slack));
  }
  return kinds;
}

std::vector<PagePool> MakePools(const PrefixCacheConfig& config) {
  std::vector<PagePool> pools;
  for (int64_t pages : config.pages_per_group) pools.emplace_back(pages);
  return pools;
}

// What is remembered to explain misses: five megabytes at most.
constexpr size_t kEvictedPages = 1 << 16;
constexpr size_t kFirstPages = 1 << 14;
// Namespaces left out of the hash.
constexpr BlockHash kAnyNamespace = 0;

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
      own_(kinds_.size()),
      evicted_(kEvictedPages),
      first_pages_(kFirstPages) {
  tree_.SetObserver(this);
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

CacheMiss PrefixCache::Explain(std::string_view name, std::span<const TokenId> tokens,
                               const TreeMatch& match) const {
  const Position page_size = config_.page_size;
  if (match.resume.position + page_size > static_cast<Position>(tokens.size())) {
    return CacheMiss::kNone;
  }
  if (config_.disabled) return CacheMiss::kDisabled;
  const TreePlace& known = match.deepest;
  if (known.position > match.resume.position) {
    return WindowGone(known) ? CacheMiss::kWindowGone : CacheMiss::kNoCheckpoint;
  }
  const std::span<const TokenId> page = tokens.subspan(known.position, page_size);
  const BlockHash chain = known.node == kNoNode ? HashNamespace(name) : tree_.HashAt(known);
  if (evicted_.Find(HashBlock(chain, page)) != nullptr) return CacheMiss::kEvicted;
  if (known.position > 0) return CacheMiss::kNew;
  const uint64_t* owner = first_pages_.Find(HashBlock(kAnyNamespace, page));
  if (owner == nullptr) return CacheMiss::kNew;
  return *owner == chain ? CacheMiss::kEvicted : CacheMiss::kNamespace;
}

// Whether entries of a window that a query at `place` reads are not there any more.
bool PrefixCache::WindowGone(const TreePlace& place) const {
  for (KindId kind = 0; kind < kinds(); ++kind) {
    const CacheKind& rule = *kinds_[kind];
    if (!rule.paged() || !rule.may_have_gaps()) continue;
    for (NodeId id = place.node; tree_.node(id).parent != kNoNode; id = tree_.node(id).parent) {
      const Node& node = tree_.node(id);
      const bool read = node.end() > rule.NeedsFrom(place.position) || node.begin < rule.sinks();
      if (read && !tree_.slot(id, kind).pages) return true;
    }
  }
  return false;
}

void PrefixCache::OnStored(BlockHash before, bool first, std::span<const TokenId> tokens,
                           std::span<const BlockHash> hashes) {
  if (first) first_pages_.Add(HashBlock(kAnyNamespace, tokens.first(config_.page_size)), before);
  if (config_.observer != nullptr) config_.observer->OnStored(before, first, tokens, hashes);
}

void PrefixCache::OnRemoved(std::span<const BlockHash> hashes) {
  for (BlockHash hash : hashes) evicted_.Add(hash);
  evicted_tokens_ += static_cast<int64_t>(hashes.size()) * config_.page_size;
  if (config_.observer != nullptr) config_.observer->OnRemoved(hashes);
}

void PrefixCache::Flush() {
  tree_.Clear();
  if (tree_.num_tokens() == 0 && config_.observer != nullptr) config_.observer->OnCleared();
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
  if (free >= count) return true;
  EvictionObserver* const observer = config_.eviction_observer;
  if (observer != nullptr) observer->OnEvictionBegins();
  const int64_t evicted = tree_.Evict(kind, count - free);
  if (observer != nullptr) observer->OnEvictionEnds(evicted);
  return free + evicted >= count;
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
  std::vector<PoolUsage> pools;
  for (KindId kind = 0; kind < kinds(); ++kind) pools.push_back(usage(kind));
  return banyan::Describe(pools);
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
