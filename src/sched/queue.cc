// SPDX-License-Identifier: Apache-2.0
#include "sched/queue.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace banyan {
namespace {

// Matching is given so much of a turn: tokens compared, where each request counts for some.
constexpr int64_t kMatchBudget = 4096;
constexpr int64_t kMatchCost = 128;
constexpr int kRefreshed = 8;     // requests looked at in a turn
constexpr int kTurnsAnOrder = 8;  // that dfs-weight keeps while none comes into its window

// Its priority's rank and its number by arrival.
std::pair<int64_t, uint64_t> AgeOf(const Request& request) {
  return {request.queue_rank, request.sequence};
}

uint64_t Mix(uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

StatusOr<QueuePolicy> ParseQueuePolicy(std::string_view name) {
  if (name == "fcfs") return QueuePolicy::kFcfs;
  if (name == "lpm") return QueuePolicy::kLpm;
  if (name == "dfs-weight") return QueuePolicy::kDfsWeight;
  if (name == "lof") return QueuePolicy::kLof;
  if (name == "random") return QueuePolicy::kRandom;
  if (name == "routing-key") return QueuePolicy::kRoutingKey;
  if (name == "priority") {
    return InvalidArgument("schedule policy 'priority' is --enable-priority-scheduling with fcfs");
  }
  return InvalidArgument(
      "schedule policy '{}' is not one of fcfs, lpm, dfs-weight, lof, random, routing-key", name);
}

void WaitingQueue::Enter(Request* request) {
  std::string key;
  if (options_.fair_share) key = request->arrival.fair_key;
  if (options_.policy == QueuePolicy::kRoutingKey) key = request->arrival.routing_key;
  if (groups_.size() >= sweep_at_) Sweep();
  ++requests_;
  routing_keys_.Add(request->arrival.routing_key, 1, 0);
  std::unique_ptr<QueueGroup>& group = groups_[key];
  if (group == nullptr) {
    group = std::make_unique<QueueGroup>();
    group->key = key;
  }
  // What it did not ask for before is not made up for.
  if (group->requests++ == 0) group->served = std::max(group->served, virtual_time_);
  request->group = group.get();
  fresh_.emplace(AgeOf(*request), request);
  fresh_tokens_ += request->prompt_length();
}

void WaitingQueue::NotFresh(Request* request) {
  if (fresh_.erase(AgeOf(*request)) > 0) {
    fresh_tokens_ -= request->prompt_length();
  }
}

void WaitingQueue::Leave(Request* request) {
  NotFresh(request);
  routing_keys_.Add(request->arrival.routing_key, -1, 0);
  QueueGroup* const group = std::exchange(request->group, nullptr);
  --group->requests;
  if (--requests_ == 0) {
    // Nobody is there to be equal with.
    groups_.clear();
    virtual_time_ = 0;
    sweep_at_ = kSweepAt;
  } else if (group->requests == 0 && group->served <= virtual_time_) {
    groups_.erase(group->key);
  }
}

void WaitingQueue::Sweep() {
  const auto clear = [this] {
    absl::erase_if(groups_, [this](const auto& item) {
      return item.second->requests == 0 && item.second->served <= virtual_time_;
    });
  };
  clear();
  std::vector<double> idle;
  for (const auto& [key, group] : groups_) {
    if (group->requests == 0) idle.push_back(group->served);
  }
  const size_t most = std::max(kSweepAt, groups_.size() - idle.size());
  if (idle.size() > most) {
    // Where every request brings a key of its own, each group begins at the virtual time and none
    // moves it on. Those that have got less than half of the idle are forgiven the difference.
    const auto median = idle.begin() + static_cast<std::ptrdiff_t>(idle.size() / 2);
    std::nth_element(idle.begin(), median, idle.end());
    virtual_time_ = *median;
    clear();
  }
  sweep_at_ = groups_.size() + most;
}

void WaitingQueue::Add(Request* request) {
  ++size_;
  tokens_ += static_cast<int64_t>(request->tokens.size());
  if (options_.policy == QueuePolicy::kLof) request->queue_key = -request->max_new_tokens();
  if (matches()) {
    TakeMatch(request, cache_.Match(request->cache_namespace,
                                    std::span(request->tokens).first(request->match_limit())));
  }
  Insert(request);
}

void WaitingQueue::Remove(Request* request) {
  --size_;
  tokens_ -= static_cast<int64_t>(request->tokens.size());
  if (request->leader != nullptr) {
    std::vector<Request*>& followers = std::exchange(request->leader, nullptr)->followers;
    followers.back()->queue_index = request->queue_index;
    followers[request->queue_index] = followers.back();
    followers.pop_back();
  } else {
    Erase(request);
  }
}

void WaitingQueue::Admit(Request* request, int64_t expected_tokens) {
  if (by_age()) {
    const int64_t rank = request->queue_rank;
    const bool oldest = ages_.lower_bound({rank, 0})->second == request;
    if (oldest) {
      since_oldest_.erase(rank);
    } else {
      ++since_oldest_[rank];
    }
  }
  Remove(request);
  NotFresh(request);
  QueueGroup& group = *request->group;
  Unrank(group);
  ++group.running;
  routing_keys_.Add(request->arrival.routing_key, 0, 1);
  if (options_.fair_share) {
    virtual_time_ = std::max(virtual_time_, group.served);
    group.served += static_cast<double>(expected_tokens);
    request->charged = expected_tokens;
  }
  Rank(group);
}

void WaitingQueue::LeftRow(Request* request, int64_t tokens) {
  QueueGroup& group = *request->group;
  Unrank(group);
  --group.running;
  routing_keys_.Add(request->arrival.routing_key, 0, -1);
  if (options_.fair_share) {
    group.served += static_cast<double>(tokens - std::exchange(request->charged, 0));
  }
  Rank(group);
}

void WaitingQueue::Follow(Request* request, Request* leader) {
  Erase(request);
  request->leader = leader;
  request->queue_index = leader->followers.size();
  leader->followers.push_back(request);
}

void WaitingQueue::ReleaseFollowers(Request* leader) {
  for (Request* request : leader->followers) {
    request->leader = nullptr;
    Insert(request);
  }
  leader->followers.clear();
}

void WaitingQueue::Insert(Request* request) {
  QueueGroup& group = *request->group;
  Unrank(group);
  BANYAN_CHECK(group.members.emplace(QueueGroup::KeyOf(*request), request).second);
  Rank(group);
  if (by_age()) ages_.emplace(AgeOf(*request), request);
  if (options_.policy == QueuePolicy::kRandom) {
    request->queue_index = shuffled_.size();
    shuffled_.push_back(request);
  } else if (options_.policy == QueuePolicy::kDfsWeight) {
    request->queue_index = depth_first_.size();  // none
    ordered_ = ordered_ && ages_.size() > kWindow;
  }
}

void WaitingQueue::Erase(Request* request) {
  QueueGroup& group = *request->group;
  Unrank(group);
  BANYAN_CHECK(group.members.erase(QueueGroup::KeyOf(*request)) == 1);
  Rank(group);
  if (by_age()) {
    ages_.erase(AgeOf(*request));
    const auto equal = ages_.lower_bound({request->queue_rank, 0});
    if (equal == ages_.end() || equal->first.first != request->queue_rank) {
      since_oldest_.erase(request->queue_rank);
    }
  }
  if (options_.policy == QueuePolicy::kRandom) {
    shuffled_.back()->queue_index = request->queue_index;
    std::swap(shuffled_[request->queue_index], shuffled_.back());
    shuffled_.pop_back();
  } else if (options_.policy == QueuePolicy::kDfsWeight) {
    const size_t at = request->queue_index;
    if (at < depth_first_.size() && depth_first_[at] == request) depth_first_[at] = nullptr;
  }
}

void WaitingQueue::Rank(QueueGroup& group) {
  if (group.members.empty()) return;
  const auto& [rank, by_policy, sequence] = group.members.begin()->first;
  if (options_.fair_share) {
    group.rank = {rank, group.served, sequence};
  } else if (options_.policy == QueuePolicy::kRoutingKey && group.running > 0 &&
             !group.key.empty()) {
    group.rank = {rank, -group.running, 0};
  } else {
    group.rank = {rank, 0, sequence};
  }
  ranked_.insert(&group);
}

void WaitingQueue::BeginTurn() {
  match_budget_ = kMatchBudget;
  if (options_.policy == QueuePolicy::kLpm) RefreshSome();
  if (options_.policy == QueuePolicy::kDfsWeight && ++turns_ % kTurnsAnOrder == 0) ordered_ = false;
}

bool WaitingQueue::oldest_is_due() const {
  if (!by_age() || ages_.empty() || since_oldest_.empty()) return false;
  const auto since = since_oldest_.find(ages_.begin()->first.first);
  return since != since_oldest_.end() && since->second >= kByAge - 1;
}

Request* WaitingQueue::First() {
  if (ranked_.empty()) return nullptr;
  if (oldest_is_due()) return ages_.begin()->second;
  if (options_.policy == QueuePolicy::kRandom) return shuffled_[Mix(++draws_) % shuffled_.size()];
  if (options_.policy == QueuePolicy::kDfsWeight) return DepthFirst();
  return (*ranked_.begin())->members.begin()->second;
}

void WaitingQueue::TakeMatch(Request* request, const TreeMatch& match) {
  request->matched_node = match.resume.node;
  request->matched_at = cache_.tree().changes();
  if (options_.policy == QueuePolicy::kLpm) request->queue_key = -match.resume.position;
}

bool WaitingQueue::Rematched(Request* request, const TreeMatch& match) {
  if (options_.policy != QueuePolicy::kLpm || oldest_is_due()) return false;
  if (request->queue_key != -match.resume.position) {
    Erase(request);
    TakeMatch(request, match);
    Insert(request);
  }
  return First() != request;
}

// True when the match is new.
bool WaitingQueue::RefreshMatch(Request* request) {
  if (request->matched_at == cache_.tree().changes() || match_budget_ <= 0) return false;
  const TreeMatch match = cache_.Match(request->cache_namespace,
                                       std::span(request->tokens).first(request->match_limit()));
  match_budget_ -= kMatchCost + match.deepest.position;
  const bool moves =
      options_.policy == QueuePolicy::kLpm && request->queue_key != -match.resume.position;
  if (moves) Erase(request);
  TakeMatch(request, match);
  if (moves) Insert(request);
  return true;
}

void WaitingQueue::RefreshSome() {
  for (int i = 0; i < kRefreshed && match_budget_ > 0 && !ages_.empty(); ++i) {
    auto next = ages_.upper_bound(refreshed_to_);
    if (next == ages_.end()) next = ages_.begin();
    refreshed_to_ = next->first;
    RefreshMatch(next->second);
  }
}

Request* WaitingQueue::DepthFirst() {
  while (true) {
    while (!depth_first_.empty() && depth_first_.back() == nullptr) depth_first_.pop_back();
    if (ordered_ && !depth_first_.empty()) return depth_first_.back();
    OrderDepthFirst();
  }
}

// Each node weighs as much as the requests that match to it or below. Heavier children come first,
// and the requests of a node after those below it.
void WaitingQueue::OrderDepthFirst() {
  depth_first_.clear();
  ordered_ = true;
  const PrefixTree& tree = cache_.tree();
  absl::flat_hash_map<NodeId, Visit> visits;
  std::vector<NodeId> roots;
  int left = kWindow;
  for (auto it = ages_.begin(); it != ages_.end() && left > 0; ++it, --left) {
    Request* const request = it->second;
    RefreshMatch(request);
    // A node remembered from before may be gone: then it counts as nothing matched.
    NodeId id = request->matched_node;
    if (id != kNoNode && !tree.node(id).live) id = kNoNode;
    visits[id].requests.push_back(request);
    bool below_is_new = false;
    for (NodeId at = id, below = kNoNode;; below = std::exchange(at, tree.node(at).parent)) {
      Visit& visit = visits[at];
      const bool is_new = visit.weight++ == 0;
      if (below_is_new) visit.children.push_back(below);
      below_is_new = is_new;
      if (at != kNoNode && tree.node(at).parent != kNoNode) continue;
      if (is_new) roots.push_back(at);
      break;
    }
  }
  const auto heavier = [&](NodeId a, NodeId b) {
    return std::pair(-visits[a].weight, a) < std::pair(-visits[b].weight, b);
  };
  // Nodes to enter, and, when all below is told, to leave.
  std::vector<std::pair<NodeId, bool>> stack;
  const auto push = [&](std::vector<NodeId>& nodes) {
    std::sort(nodes.begin(), nodes.end(), heavier);
    for (auto it = nodes.rbegin(); it != nodes.rend(); ++it) stack.emplace_back(*it, false);
  };
  push(roots);
  while (!stack.empty()) {
    const auto [id, leave] = stack.back();
    Visit& visit = visits[id];
    if (leave) {
      stack.pop_back();
      depth_first_.insert(depth_first_.end(), visit.requests.begin(), visit.requests.end());
      continue;
    }
    stack.back().second = true;
    push(visit.children);
  }
  std::reverse(depth_first_.begin(), depth_first_.end());
  for (size_t i = 0; i < depth_first_.size(); ++i) depth_first_[i]->queue_index = i;
}

}  // namespace banyan
