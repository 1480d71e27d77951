// SPDX-License-Identifier: Apache-2.0
// How requests spread over routing keys: how many keys have how many requests. SGLang's buckets. A
// pure value; every operation is O(1).
#pragma once

#include <array>
#include <cstdint>
#include <numeric>
#include <string>

#include "absl/container/flat_hash_map.h"

namespace banyan {

struct RoutingKeyLoad {
  // A key counts where its requests are at most so many, and more than the bound before; beyond
  // the last bound, at the end.
  static constexpr std::array<int, 10> kBounds = {1, 2, 3, 5, 7, 10, 20, 50, 100, 200};
  using Keys = std::array<int64_t, kBounds.size() + 1>;

  Keys running{};  // by their running requests
  Keys all{};      // by those that wait or run
  int64_t running_keys() const {
    return std::accumulate(running.begin(), running.end(), int64_t{0});
  }
};

class RoutingKeyCounts {
 public:
  // So many more (or fewer) requests of the key, and so many more of its requests run. A request
  // without a key is not counted.
  void Add(const std::string& key, int requests, int running) {
    if (key.empty()) return;
    const auto at = counts_.try_emplace(key).first;
    Change(load_.all, at->second.all, requests);
    Change(load_.running, at->second.running, running);
    if (at->second.all == 0) counts_.erase(at);
  }
  const RoutingKeyLoad& load() const { return load_; }

 private:
  struct Count {
    int all = 0, running = 0;
  };
  static size_t Bucket(int count) {
    size_t bucket = 0;
    while (bucket < RoutingKeyLoad::kBounds.size() && count > RoutingKeyLoad::kBounds[bucket]) {
      ++bucket;
    }
    return bucket;
  }
  static void Change(RoutingKeyLoad::Keys& keys, int& count, int by) {
    if (by == 0) return;
    if (count > 0) --keys[Bucket(count)];
    count += by;
    if (count > 0) ++keys[Bucket(count)];
  }

  absl::flat_hash_map<std::string, Count> counts_;
  RoutingKeyLoad load_;
};

}  // namespace banyan
