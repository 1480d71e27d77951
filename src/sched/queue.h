// SPDX-License-Identifier: Apache-2.0
// WaitingQueue: the requests that wait for a row, and which of them is to be tried next. Private to
// sched/. Not thread-safe.
//
// Policies, by SGLang's names (section 1.6 of its description). A retracted request keeps its place
// by age.
//   fcfs         by arrival
//   lpm          the longest prefix in the cache first
//   dfs-weight   the subtree of the cache with most waiting requests first, depth first
//   lof          the largest max_new_tokens first
//   random       any
//   routing-key  the key with most running requests first; keys that do not run and requests
//                without a key, by arrival
// With priorities the better priority comes first, the policy decides among equals. With fair
// shares these are the requests of the key that has been served least (start-time fair queueing: a
// key that comes back begins where the others are), by arrival, as are keys that got the same.
//
// No request is passed over for ever: but for fcfs, every eighth admission is that of the request
// that came first. Priorities are strict; there it is every eighth of its equals.
//
// Cost. Everything is O(log n) or less, whatever the length of the queue: to release followers is
// that for each of them, to sweep groups up is that on average. What lpm and dfs-weight know of the
// cache is therefore an estimate: a request is matched when it comes, when it is tried, and in turn
// with the others, as far as the budget of one turn goes; dfs-weight orders the kWindow requests
// that came first, anew every few turns. (SGLang gives lpm up beyond 128 waiting requests.)
//
// A request may follow another, which computes a prefix that both share: it still waits, but is not
// tried until the other's prefill has ended.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "base/status.h"
#include "cache/prefix_cache.h"
#include "sched/request_state.h"
#include "sched/routing_keys.h"

namespace banyan {

enum class QueuePolicy : uint8_t { kFcfs, kLpm, kDfsWeight, kLof, kRandom, kRoutingKey };
StatusOr<QueuePolicy> ParseQueuePolicy(std::string_view name);

struct QueueOptions {
  QueuePolicy policy = QueuePolicy::kFcfs;
  bool priorities = false;
  bool fair_share = false;
};

// Requests of one routing key or of one fair-share key; without either there is one group.
struct QueueGroup {
  // Its priority's rank, what the policy orders by, its number by arrival. Beside the pointers,
  // here and below: to compare them touches no request, of which there may be many that are in no
  // cache.
  using Key = std::tuple<int64_t, int64_t, uint64_t>;
  static Key KeyOf(const Request& request) {
    return {request.queue_rank, request.queue_key, request.sequence};
  }
  std::string key;
  absl::btree_map<Key, Request*> members;  // to be tried
  int requests = 0;                        // waiting, following or running
  int running = 0;
  double served = 0;  // tokens, where shares are fair
  // Its place among the groups, while it has members.
  std::tuple<int64_t, double, uint64_t> rank;
};

class WaitingQueue {
 public:
  static constexpr int kByAge = 8;     // one admission of so many goes to the oldest
  static constexpr int kWindow = 128;  // of dfs-weight

  WaitingQueue(QueueOptions options, const PrefixCache& cache) : options_(options), cache_(cache) {}

  // From a request's arrival to its end.
  void Enter(Request* request);
  void Leave(Request* request);  // neither waits nor runs

  void Add(Request* request);     // begins to wait
  void Remove(Request* request);  // no longer waits
  // Removes it because it gets a row, in which it is expected to cost so many tokens.
  void Admit(Request* request, int64_t expected_tokens);
  void LeftRow(Request* request, int64_t tokens);  // it did cost so many
  void Follow(Request* request, Request* leader);
  void ReleaseFollowers(Request* leader);                // all of them are tried again
  void TokensAdded(int64_t count) { tokens_ += count; }  // to a request that waits

  // A turn of admissions begins: what is known of the cache is brought up to date within a budget.
  void BeginTurn();
  Request* First();  // the one to try; null: none
  // The best rank of a priority among those to be tried; none: the worst there is.
  int64_t best_rank() const {
    return ranked_.empty() ? std::numeric_limits<int64_t>::max()
                           : std::get<0>((*ranked_.begin())->rank);
  }
  // The cache holds just `match` of it. True when another has to be tried before it now.
  bool Rematched(Request* request, const TreeMatch& match);

  int size() const { return size_; }
  bool empty() const { return size_ == 0; }
  int64_t tokens() const { return tokens_; }
  const RoutingKeyLoad& routing_keys() const { return routing_keys_.load(); }
  int num_groups() const { return static_cast<int>(groups_.size()); }
  // Of those that have never been admitted: how many, their tokens, themselves.
  int num_fresh() const { return static_cast<int>(fresh_.size()); }
  int64_t fresh_tokens() const { return fresh_tokens_; }
  const auto& fresh() const { return fresh_; }  // the one to be done without is the last

 private:
  static constexpr size_t kSweepAt = 64;  // groups

  struct GroupBefore {
    bool operator()(const QueueGroup* a, const QueueGroup* b) const {
      return std::tie(a->rank, a->key) < std::tie(b->rank, b->key);
    }
  };
  // What dfs-weight knows of a node of the tree during one ordering.
  struct Visit {
    int weight = 0;
    std::vector<NodeId> children;
    std::vector<Request*> requests;
  };

  bool by_age() const { return options_.policy != QueuePolicy::kFcfs; }
  // Of the best priority that is to be tried.
  bool oldest_is_due() const;
  bool matches() const {
    return options_.policy == QueuePolicy::kLpm || options_.policy == QueuePolicy::kDfsWeight;
  }
  void Insert(Request* request);  // among those to be tried
  void Erase(Request* request);
  void Unrank(QueueGroup& group) {
    if (!group.members.empty()) ranked_.erase(&group);
  }
  void Rank(QueueGroup& group);
  bool RefreshMatch(Request* request);
  void TakeMatch(Request* request, const TreeMatch& match);
  void RefreshSome();
  Request* DepthFirst();
  void OrderDepthFirst();
  void NotFresh(Request* request);
  void Sweep();

  const QueueOptions options_;
  const PrefixCache& cache_;
  RoutingKeyCounts routing_keys_;
  absl::flat_hash_map<std::string, std::unique_ptr<QueueGroup>> groups_;
  absl::btree_set<QueueGroup*, GroupBefore> ranked_;  // those with members
  // By rank, then by arrival; to be tried, where the policy looks at age.
  absl::btree_map<std::pair<int64_t, uint64_t>, Request*> ages_;
  // Admissions since that of the oldest, by rank.
  absl::flat_hash_map<int64_t, int> since_oldest_;
  absl::btree_map<std::pair<int64_t, uint64_t>, Request*> fresh_;  // by rank, then by arrival
  int64_t fresh_tokens_ = 0;
  int64_t tokens_ = 0;
  int size_ = 0;
  int requests_ = 0;            // of all groups
  double virtual_time_ = 0;     // of the fair shares: what the group served last had got before
  size_t sweep_at_ = kSweepAt;  // groups

  int64_t match_budget_ = 0;                   // of this turn
  std::pair<int64_t, uint64_t> refreshed_to_;  // rank, sequence
  std::vector<Request*> depth_first_;          // from the back; null: gone since
  bool ordered_ = false;
  uint64_t turns_ = 0;
  std::vector<Request*> shuffled_;
  uint64_t draws_ = 0;
};

}  // namespace banyan
