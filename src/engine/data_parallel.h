// SPDX-License-Identifier: Apache-2.0
// Several engines in one process that look like one: each has its own threads, cache and queue, and
// shares the weights. A request runs on one of them, its rank; what is asked of all (abort by name,
// pause, drain) reaches all, and is answered when the last has.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "cache/recent_hashes.h"
#include "engine/engine.h"

namespace banyan {

// How a rank is chosen, by --load-balance-method.
enum class LoadBalance : uint8_t {
  kRoundRobin,     // each in turn; SGLang's default too ("auto")
  kTotalRequests,  // the fewest requests under way
  kTotalTokens,    // the fewest tokens of them, then the fewest requests
  kCacheAware,     // the longest prefix sent there before, unless that rank has much more to do
};
StatusOr<LoadBalance> ParseLoadBalance(std::string_view name);

// Which rank had which prompts lately, by the hashes of their chunks. Not thread-safe.
class PromptRanks {
 public:
  static constexpr int kChunk = 16;  // tokens

  struct Found {
    int rank = -1;  // none: nobody knows the beginning
    int64_t tokens = 0;
  };
  Found Find(std::string_view name, std::span<const TokenId> prompt) const;
  void Add(std::string_view name, std::span<const TokenId> prompt, int rank);

 private:
  RecentHashes ranks_{1 << 18};  // four million tokens
};

// What the ranks are chosen by: what is under way on each, as far as this process knows.
struct RankLoad {
  int64_t requests = 0;
  int64_t tokens = 0;
  bool healthy = true;
};
// The rank with the least by `method`, of equals the next behind rank `last`, so that one client
// alone has all caches. A rank that is not healthy has little to do because it ends what it gets:
// it is taken when none is healthy.
int LeastLoaded(LoadBalance method, std::span<const RankLoad> loads, int last);
// kCacheAware's choice: the rank that has at least half of the prompt, unless it has far more
// requests than the least one (32, and half as many again: SGLang's gateway's rule) or is not
// healthy; else the rank with the fewest tokens.
int ChooseByCache(const PromptRanks::Found& found, int64_t prompt, std::span<const RankLoad> loads,
                  int last);

// All engines have the same settings, one metrics registry and ranks 0, 1, ... in order.
std::unique_ptr<Engine> MakeDataParallelEngine(std::vector<std::unique_ptr<Engine>> ranks,
                                               LoadBalance method);

}  // namespace banyan
