// SPDX-License-Identifier: Apache-2.0
// Engine: submit, abort, stream. The one owner of requests; everything above it (serve/, app/)
// speaks to this header only.
//
// Threads: one engine thread (scheduler, cache), one executor thread (device), one output thread
// (detokenize, stop strings, callbacks). All methods are thread-safe and return at once unless they
// say otherwise. Every accepted request gets exactly one update with `finish` set, after which its
// sink is not called again.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/metrics.h"
#include "base/status.h"
#include "engine/config.h"
#include "engine/sessions.h"
#include "nn/model.h"
#include "sched/request.h"
#include "sched/scheduler.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace banyan {

// Of a prompt's last tokens, how many decide how the text of an output begins.
inline constexpr std::size_t kDetokenizerContext = 8;

struct GenerateRequest {
  std::string rid;  // the caller's name for it; empty: one is made
  std::vector<TokenId> input_ids;
  SamplingParams sampling;
  bool length_given = true;  // false: max_new_tokens is a default, and where it does not fit with
                             // the whole prompt, as many as fit
  LogprobParams logprobs;
  std::optional<int> priority;
  std::string extra_key;    // cache salt
  std::string routing_key;  // for --schedule-policy routing-key
  std::string user;         // for --enable-fair-share; empty: the routing key
  std::optional<SessionParams> session;
  std::optional<int> dp_rank;  // the data-parallel rank that is to run it
  // Prompt positions at which messages end.
  std::vector<int32_t> checkpoints;
  bool want_text = true;    // false: ids only, no tokenizer needed
  bool stream = true;       // false: one update, at the end
  bool log_metrics = true;  // false: kept out of the series that are of requests
  std::optional<std::chrono::milliseconds> timeout;
};

// What has come since the last update of this request. `index` tells the samples of n > 1 apart.
struct GenerateUpdate {
  int index = 0;
  std::string text;
  std::vector<TokenId> tokens;
  std::vector<TokenLogprob> logprobs;
  std::vector<TokenLogprob> prompt_logprobs;
  int prompt_tokens = 0;
  int completion_tokens = 0;  // so far
  int cached_tokens = 0;
  CacheMiss cache_miss = CacheMiss::kNone;  // why not more
  int retractions = 0;
  int dp_rank = 0;  // that runs it
  std::optional<FinishReason> finish;
};

// Called on the output thread; must not block. Owned by the engine until the last sample's finish.
using GenerateSink = std::function<void(GenerateUpdate)>;

struct EngineSnapshot {
  SchedulerStats scheduler;
  // Over the last decode log interval: tokens a second, requests put back into the queue.
  double generation_throughput = 0;
  int64_t retracted = 0;
  int64_t weight_bytes = 0, cache_bytes = 0, scratch_bytes = 0;
  int64_t max_total_tokens = 0;
  bool healthy = true;
};

// What the prefix cache of one rank holds: blocks that follow each other, with the hashes that KV
// events have (cache/cache_events.h), parents before their children.
struct CacheSnapshot {
  struct Run {
    BlockHash before = 0;  // with `first`, that of the namespace
    bool first = false;
    std::vector<TokenId> tokens;
    std::vector<BlockHash> hashes;
  };
  int dp_rank = 0;
  int block_size = 0;
  // All KV events below this number are in it, and no later ones; none: no events are published.
  std::optional<uint64_t> next_sequence;
  std::vector<Run> runs;
};

// Called at the end of each phase of a start, one call at a time. Phases may overlap.
using PhaseSink = std::function<void(std::string_view name, double seconds)>;

class Engine {
 public:
  // Loads the model and starts the threads; each phase is logged with its time. Returns when a
  // request would be fast.
  static StatusOr<std::unique_ptr<Engine>> Start(EngineConfig config, PhaseSink on_phase = {});
  virtual ~Engine() = default;  // ends every request with kUnavailable

  // Accepted (OK) or refused: kInvalidArgument names the field and both numbers when a prompt does
  // not fit, or a name that a request at work has; kResourceExhausted when the queue is full;
  // kUnavailable while draining. The id names the request to Abort.
  virtual StatusOr<RequestId> Submit(GenerateRequest request, GenerateSink sink) = 0;
  virtual void Abort(RequestId id) = 0;
  virtual int AbortByRid(std::string_view rid_prefix, bool all) = 0;  // how many were found
  // Of one data-parallel rank; kFailedPrecondition while a request holds some of its cache.
  virtual void FlushCache(int rank, std::function<void(Status)> done) = 0;
  // No steps begin until Continue; `done` is called when those that had begun have ended.
  virtual void Pause(PauseMode mode, std::function<void(Status)> done) = 0;
  virtual void Continue(std::function<void(Status)> done) = 0;
  virtual StatusOr<std::string> OpenSession(const SessionSettings& settings) = 0;
  virtual Status CloseSession(std::string_view id) = 0;
  // No new requests from now on; `done` is called when the last one has ended.
  virtual void Drain(std::function<void()> done) = 0;
  // Every request ends with kUnavailable at once, whatever the device is doing, and none is taken
  // any more.
  virtual void Stop() = 0;

  virtual EngineSnapshot Snapshot() const = 0;
  // Data-parallel ranks, of which Snapshot is the sum.
  virtual int ranks() const { return 1; }
  virtual EngineSnapshot RankSnapshot(int /*rank*/) const { return Snapshot(); }
  virtual void InspectCache(int rank, std::function<void(StatusOr<CacheSnapshot>)> done) = 0;
  virtual const EngineConfig& config() const = 0;
  virtual const nn::ModelInfo& model() const = 0;
  virtual int64_t max_request_length() const = 0;  // prompt and output together
  virtual const std::shared_ptr<const text::Tokenizer>& tokenizer()
      const = 0;  // null with skip_tokenizer_init
  virtual const std::shared_ptr<const text::ChatTemplate>& chat_template()
      const = 0;  // null when the model has none
  virtual const json::object& generation_config() const = 0;
  // Where a request's parameters start from: SGLang's defaults and, with sampling_defaults=model,
  // what generation_config.json says instead.
  virtual const SamplingParams& default_sampling() const = 0;
  virtual Metrics& metrics() = 0;
};

}  // namespace banyan
