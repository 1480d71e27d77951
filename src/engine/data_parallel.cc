// SPDX-License-Identifier: Apache-2.0
#include "engine/data_parallel.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <random>
#include <tuple>
#include <utility>

namespace banyan {
namespace {

// As SGLang's gateway has them.
constexpr int64_t kMostAhead = 32;
constexpr double kMostAheadRatio = 1.5;

// Calls `done` once all ranks have answered, with the first error there was.
std::function<void(Status)> WhenAll(int ranks, std::function<void(Status)> done) {
  struct State {
    std::mutex mutex;
    int left;
    Status status;
    std::function<void(Status)> done;
  };
  auto state = std::make_shared<State>();
  state->left = ranks;
  state->done = std::move(done);
  return [state](const Status& status) {
    {
      std::lock_guard lock(state->mutex);
      if (state->status.ok()) state->status = status;
      if (--state->left > 0) return;
    }
    state->done(state->status);
  };
}

std::string RandomId() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

void Add(EngineSnapshot& sum, const EngineSnapshot& rank) {
  SchedulerStats& to = sum.scheduler;
  const SchedulerStats& from = rank.scheduler;
  to.running += from.running;
  to.waiting += from.waiting;
  to.paused = to.paused || from.paused;
  to.queue_seconds = std::max(to.queue_seconds, from.queue_seconds);
  for (const auto total :
       {&SchedulerStats::waiting_tokens, &SchedulerStats::used_tokens,
        &SchedulerStats::running_tokens, &SchedulerStats::tree_tokens,
        &SchedulerStats::evicted_tokens_total, &SchedulerStats::cached_tokens_total,
        &SchedulerStats::prompt_tokens_total, &SchedulerStats::retracted_total,
        &SchedulerStats::retracted_input_total, &SchedulerStats::retracted_output_total,
        &SchedulerStats::exhausted_total})
    to.*total += from.*total;
  for (size_t i = 0; i < to.pools.size() && i < from.pools.size(); ++i) {
    for (const auto pages : {&PoolUsage::total, &PoolUsage::free, &PoolUsage::evictable,
                             &PoolUsage::leased, &PoolUsage::fenced})
      to.pools[i].*pages += from.pools[i].*pages;
  }
  sum.generation_throughput += rank.generation_throughput;
  sum.retracted += rank.retracted;
  sum.cache_bytes += rank.cache_bytes;
  sum.scratch_bytes += rank.scratch_bytes;
  sum.max_total_tokens += rank.max_total_tokens;
  sum.healthy = sum.healthy && rank.healthy;
}

class DataParallelEngine final : public Engine {
 public:
  DataParallelEngine(std::vector<std::unique_ptr<Engine>> ranks, LoadBalance method)
      : method_(method),
        loads_(ranks.size()),
        last_(static_cast<int>(ranks.size()) - 1),
        ranks_(std::move(ranks)) {}

  StatusOr<RequestId> Submit(GenerateRequest request, GenerateSink sink) override {
    BANYAN_ASSIGN_OR_RETURN(const std::optional<int> asked, AskedRank(request));
    request.dp_rank.reset();
    const auto prompt = static_cast<int64_t>(request.input_ids.size());
    const int samples = std::max(request.sampling.n, 1);
    const int rank = Assign(request, asked, samples, samples * prompt);
    // The tokens that a sample has brought are taken away with it; `made` is for this thread only
    // until Submit returns, then for the rank's output thread.
    auto made = std::make_shared<std::vector<int64_t>>(samples, prompt);
    auto accepted = ranks_[rank]->Submit(
        std::move(request), [this, rank, made, sink = std::move(sink)](GenerateUpdate update) {
          int64_t& tokens = made->at(update.index);
          const auto fresh = static_cast<int64_t>(update.tokens.size());
          tokens += fresh;
          if (update.finish) {
            Count(rank, -1, fresh - tokens);
          } else {
            Count(rank, 0, fresh);
          }
          update.dp_rank = rank;
          sink(std::move(update));
        });
    if (!accepted.ok()) {
      Count(rank, -samples, -samples * prompt);
      return accepted.status();
    }
    return *accepted * ranks_.size() + rank;
  }

  void Abort(RequestId id) override { ranks_[id % ranks_.size()]->Abort(id / ranks_.size()); }
  int AbortByRid(std::string_view rid_prefix, bool all) override {
    int found = 0;
    for (const auto& rank : ranks_) found += rank->AbortByRid(rid_prefix, all);
    return found;
  }
  void FlushCache(int rank, std::function<void(Status)> done) override {
    ranks_.at(rank)->FlushCache(rank, std::move(done));
  }
  void Pause(PauseMode mode, std::function<void(Status)> done) override {
    const auto one = WhenAll(ranks(), std::move(done));
    for (const auto& rank : ranks_) rank->Pause(mode, one);
  }
  void Continue(std::function<void(Status)> done) override {
    const auto one = WhenAll(ranks(), std::move(done));
    for (const auto& rank : ranks_) rank->Continue(one);
  }
  void Drain(std::function<void()> done) override {
    const auto one = WhenAll(ranks(), [done = std::move(done)](const Status&) { done(); });
    for (const auto& rank : ranks_) rank->Drain([one] { one(OkStatus()); });
  }

  void Stop() override {
    for (const auto& rank : ranks_) rank->Stop();
  }

  // A session stays where its name puts it: what it has said is in that cache.
  StatusOr<std::string> OpenSession(const SessionSettings& settings) override {
    SessionSettings named = settings;
    if (named.id.empty()) named.id = RandomId();
    return ranks_[RankOf(named.id)]->OpenSession(named);
  }
  Status CloseSession(std::string_view id) override { return ranks_[RankOf(id)]->CloseSession(id); }

  EngineSnapshot Snapshot() const override {
    EngineSnapshot sum = ranks_.front()->Snapshot();
    for (size_t i = 1; i < ranks_.size(); ++i) Add(sum, ranks_[i]->Snapshot());
    return sum;
  }
  int ranks() const override { return static_cast<int>(ranks_.size()); }
  EngineSnapshot RankSnapshot(int rank) const override { return ranks_.at(rank)->Snapshot(); }
  void InspectCache(int rank, std::function<void(StatusOr<CacheSnapshot>)> done) override {
    ranks_.at(rank)->InspectCache(rank, std::move(done));
  }

  const EngineConfig& config() const override { return first().config(); }
  const nn::ModelInfo& model() const override { return first().model(); }
  int64_t max_request_length() const override { return first().max_request_length(); }
  const std::shared_ptr<const text::Tokenizer>& tokenizer() const override {
    return first().tokenizer();
  }
  const std::shared_ptr<const text::ChatTemplate>& chat_template() const override {
    return first().chat_template();
  }
  const json::object& generation_config() const override { return first().generation_config(); }
  const SamplingParams& default_sampling() const override { return first().default_sampling(); }
  Metrics& metrics() override { return ranks_.front()->metrics(); }

 private:
  const Engine& first() const { return *ranks_.front(); }
  int RankOf(std::string_view session) const {
    return static_cast<int>(std::hash<std::string_view>()(session) % ranks_.size());
  }
  void Count(int rank, int64_t requests, int64_t tokens) {
    std::lock_guard lock(mutex_);
    loads_[rank].requests += requests;
    loads_[rank].tokens += tokens;
  }

  // None: any will do.
  StatusOr<std::optional<int>> AskedRank(const GenerateRequest& request) const {
    if (request.dp_rank && (*request.dp_rank < 0 || *request.dp_rank >= ranks()))
      return InvalidArgument("routed_dp_rank: {} is none of the {} ranks", *request.dp_rank,
                             ranks());
    if (request.session) {
      const int rank = RankOf(request.session->id);
      if (request.dp_rank.value_or(rank) == rank) return rank;
      return InvalidArgument("routed_dp_rank: {} is not where session '{}' is, on rank {}",
                             *request.dp_rank, request.session->id, rank);
    }
    return request.dp_rank;
  }
  // The rank that the request goes to, where it counts from now on.
  int Assign(const GenerateRequest& request, std::optional<int> asked, int64_t requests,
             int64_t tokens) {
    std::vector<bool> healthy(ranks_.size());
    if (!asked) {
      for (size_t i = 0; i < ranks_.size(); ++i) healthy[i] = ranks_[i]->Snapshot().healthy;
    }
    std::lock_guard lock(mutex_);
    if (!asked) {
      for (size_t i = 0; i < ranks_.size(); ++i) loads_[i].healthy = healthy[i];
      last_ = Choose(request);
    }
    const int rank = asked.value_or(last_);
    loads_[rank].requests += requests;
    loads_[rank].tokens += tokens;
    return rank;
  }
  int Choose(const GenerateRequest& request) {
    if (method_ != LoadBalance::kCacheAware) return LeastLoaded(method_, loads_, last_);
    const int rank = ChooseByCache(prompts_.Find(request.extra_key, request.input_ids),
                                   static_cast<int64_t>(request.input_ids.size()), loads_, last_);
    prompts_.Add(request.extra_key, request.input_ids, rank);
    return rank;
  }

  const LoadBalance method_;
  std::mutex mutex_;
  std::vector<RankLoad> loads_;
  PromptRanks prompts_;
  int last_;  // the rank that was chosen last
  // Last: their output threads call the sinks above until they have ended.
  std::vector<std::unique_ptr<Engine>> ranks_;
};

}  // namespace

StatusOr<LoadBalance> ParseLoadBalance(std::string_view name) {
  if (name == "auto" || name == "round_robin") return LoadBalance::kRoundRobin;
  if (name == "total_requests") return LoadBalance::kTotalRequests;
  if (name == "total_tokens") return LoadBalance::kTotalTokens;
  if (name == "cache_aware") return LoadBalance::kCacheAware;
  return InvalidArgument(
      "--load-balance-method: \"{}\" is none of auto, round_robin, total_requests, total_tokens, "
      "cache_aware",
      name);
}

PromptRanks::Found PromptRanks::Find(std::string_view name, std::span<const TokenId> prompt) const {
  Found found;
  BlockHash chain = HashNamespace(name);
  for (; prompt.size() >= kChunk; prompt = prompt.subspan(kChunk)) {
    chain = HashBlock(chain, prompt.first(kChunk));
    const uint64_t* rank = ranks_.Find(chain);
    if (rank == nullptr) break;
    found = {static_cast<int>(*rank), found.tokens + kChunk};
  }
  return found;
}

void PromptRanks::Add(std::string_view name, std::span<const TokenId> prompt, int rank) {
  BlockHash chain = HashNamespace(name);
  for (; prompt.size() >= kChunk; prompt = prompt.subspan(kChunk)) {
    chain = HashBlock(chain, prompt.first(kChunk));
    ranks_.Add(chain, rank);
  }
}

int LeastLoaded(LoadBalance method, std::span<const RankLoad> loads, int last) {
  const auto count = static_cast<int>(loads.size());
  const auto load = [&](int rank) {
    const RankLoad& of = loads[rank];
    switch (method) {
      case LoadBalance::kRoundRobin:
        return std::tuple<bool, int64_t, int64_t>(!of.healthy, 0, 0);
      case LoadBalance::kTotalRequests:
        return std::tuple<bool, int64_t, int64_t>(!of.healthy, of.requests, 0);
      default:
        return std::tuple<bool, int64_t, int64_t>(!of.healthy, of.tokens, of.requests);
    }
  };
  int least = (last + 1) % count;
  for (int i = 2; i <= count; ++i) {
    const int rank = (last + i) % count;
    if (load(rank) < load(least)) least = rank;
  }
  return least;
}

int ChooseByCache(const PromptRanks::Found& found, int64_t prompt, std::span<const RankLoad> loads,
                  int last) {
  const int64_t least = loads[LeastLoaded(LoadBalance::kTotalRequests, loads, last)].requests;
  const auto far_ahead = [&](int64_t requests) {
    return requests - least > kMostAhead &&
           static_cast<double>(requests) > kMostAheadRatio * static_cast<double>(least);
  };
  if (found.rank >= 0 && 2 * found.tokens >= prompt && loads[found.rank].healthy &&
      !far_ahead(loads[found.rank].requests))
    return found.rank;
  return LeastLoaded(LoadBalance::kTotalTokens, loads, last);
}

std::unique_ptr<Engine> MakeDataParallelEngine(std::vector<std::unique_ptr<Engine>> ranks,
                                               LoadBalance method) {
  return std::make_unique<DataParallelEngine>(std::move(ranks), method);
}

}  // namespace banyan
