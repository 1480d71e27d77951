// SPDX-License-Identifier: Apache-2.0
// How much each data-parallel rank has to do, and what its cache holds: for routers and operators.
#include <fmt/chrono.h>

#include <charconv>
#include <set>

#include "absl/strings/ascii.h"
#include "base/version.h"
#include "serve/admin/handlers.h"
#include "serve/errors.h"
#include "serve/json_writer.h"

namespace banyan::serve {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

// The ranks that `?dp_rank=` asks for: all without it.
StatusOr<std::vector<int>> RanksAsked(const Engine& engine, const HttpRequest& request) {
  std::vector<int> ranks;
  const std::optional<std::string> asked = request.QueryValue("dp_rank");
  if (!asked) {
    for (int rank = 0; rank < engine.ranks(); ++rank) ranks.push_back(rank);
    return ranks;
  }
  int rank = -1;
  const char* end = asked->data() + asked->size();
  if (std::from_chars(asked->data(), end, rank).ptr != end || rank < 0 || rank >= engine.ranks())
    return InvalidArgument("request: 'dp_rank' '{}' is none of the {} ranks", *asked,
                           engine.ranks());
  return std::vector<int>{rank};
}

// The parts of a load that `?include=` asks for, separated by commas.
StatusOr<std::set<std::string>> SectionsAsked(const HttpRequest& request) {
  const std::set<std::string> known = {"core", "memory", "spec", "lora", "disagg", "queues", "all"};
  std::set<std::string> sections;
  std::string list = request.QueryValue("include").value_or("");
  if (list.empty()) list = "all";
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t comma = std::min(list.find(',', begin), list.size());
    const std::string section(absl::StripAsciiWhitespace(list.substr(begin, comma - begin)));
    if (!known.contains(section))
      return InvalidArgument("request: 'include' '{}' is none of {}", section,
                             fmt::join(known, ", "));
    sections.insert(section);
    begin = comma + 1;
  }
  return sections;
}

double Share(int64_t part, int64_t whole) {
  return static_cast<double>(part) / static_cast<double>(std::max<int64_t>(whole, 1));
}

// Of the fullest kind of cache, as SGLang has it.
double TokenUsage(const SchedulerStats& stats) {
  double most = 0;
  for (const PoolUsage& pool : stats.pools) most = std::max(most, Share(pool.leased, pool.total));
  return most;
}

// As /metrics has it.
double Utilization(const SchedulerStats& stats, int max_running) {
  return std::max(Share(stats.running, max_running), TokenUsage(stats) / 0.9);
}

void WriteLoad(JsonWriter& json, int rank, const EngineSnapshot& now, int max_running,
               const std::set<std::string>& sections) {
  const SchedulerStats& stats = now.scheduler;
  const auto wants = [&](const char* section) {
    return sections.contains("all") || sections.contains(section);
  };
  json.Begin('{').Field("dp_rank", rank).Field("timestamp", static_cast<double>(UnixTime()));
  json.Field("num_running_reqs", stats.running).Field("num_waiting_reqs", stats.waiting);
  json.Field("num_used_tokens", stats.used_tokens);
  json.Field("num_waiting_tokens", stats.waiting_tokens);
  // What of them is cached is looked up at admission; until then SGLang counts all of them too.
  json.Field("num_waiting_uncached_tokens", stats.waiting_tokens);
  json.Field("num_total_tokens", stats.used_tokens + stats.waiting_tokens);
  json.Field("max_total_num_tokens", now.max_total_tokens);
  json.Field("token_usage", TokenUsage(stats)).Field("gen_throughput", now.generation_throughput);
  json.Field("cache_hit_rate", Share(stats.cached_tokens_total, stats.prompt_tokens_total));
  json.Field("utilization", Utilization(stats, max_running));
  json.Field("max_running_requests", max_running);
  if (wants("memory")) {
    json.Key("memory").Begin('{').Field("weight_gb", static_cast<double>(now.weight_bytes) / kGiB);
    json.Field("kv_cache_gb", static_cast<double>(now.cache_bytes) / kGiB).Field("graph_gb", 0.0);
    json.Field("token_capacity", now.max_total_tokens).End('}');
  }
  // What is not built is not there.
  for (const auto& [section, key] : {std::pair("spec", "speculative"), {"lora", "lora"}})
    if (wants(section)) json.Key(key).Null();
  if (wants("disagg")) json.Key("disaggregation").Null();
  if (wants("queues")) {
    json.Key("queues").Begin('{').Field("waiting", stats.waiting).Field("grammar", 0);
    json.Field("paused", stats.paused ? stats.running : 0);
    json.Field("retracted", now.retracted).End('}');
  }
  json.End('}');
}

// Hashes as KV events carry them.
void WriteHash(JsonWriter& json, BlockHash hash) { json.Value(static_cast<int64_t>(hash)); }

std::string CacheJson(const CacheSnapshot& cache) {
  std::string out;
  JsonWriter json(out);
  json.Begin('{').Field("dp_rank", cache.dp_rank).Field("block_size", cache.block_size);
  json.Key("next_seq");
  cache.next_sequence ? json.Value(*cache.next_sequence) : json.Null();
  json.Key("stored").Begin('[');
  for (const CacheSnapshot::Run& run : cache.runs) {
    json.Begin('{').Key("block_hashes").Begin('[');
    for (BlockHash hash : run.hashes) WriteHash(json, hash);
    json.End(']').Key("parent_block_hash");
    run.first ? void(json.Null()) : WriteHash(json, run.before);
    json.Key("token_ids").Begin('[');
    for (TokenId token : run.tokens) json.Value(token);
    json.End(']').End('}');
  }
  json.End(']').End('}');
  return out;
}

}  // namespace

void HandleGetLoad(const ServeContext& context, const HttpRequest&, const ReplyPtr& reply) {
  std::string out;
  JsonWriter json(out);
  json.Begin('[');
  const std::chrono::duration<double> tick = std::chrono::steady_clock::now().time_since_epoch();
  for (int rank = 0; rank < context.engine.ranks(); ++rank) {
    const SchedulerStats stats = context.engine.RankSnapshot(rank).scheduler;
    json.Begin('{').Field("dp_rank", rank).Field("num_reqs", stats.running + stats.waiting);
    json.Field("num_waiting_reqs", stats.waiting);
    json.Field("num_tokens", stats.used_tokens + stats.waiting_tokens);
    json.Field("num_pending_tokens", stats.waiting_tokens).Field("ts_tic", tick.count()).End('}');
  }
  json.End(']');
  SendJson(reply, std::move(out));
}

void HandleLoads(const ServeContext& context, const HttpRequest& request, const ReplyPtr& reply) {
  const Engine& engine = context.engine;
  const auto ranks = RanksAsked(engine, request);
  if (!ranks.ok()) return reply->Send(ErrorResponse(ranks.status()));
  const auto sections = SectionsAsked(request);
  if (!sections.ok()) return reply->Send(ErrorResponse(sections.status()));
  if (const auto format = request.QueryValue("format"); format && *format != "json")
    return reply->Send(
        ErrorResponse(InvalidArgument("request: 'format' '{}' is not json; /metrics is the page "
                                      "for Prometheus",
                                      *format)));
  const int max_running = engine.config().max_running_requests;
  std::string out;
  JsonWriter json(out);
  json.Begin('{').Field("timestamp", fmt::format("{:%FT%T}+00:00", fmt::gmtime(UnixTime())));
  json.Field("version", std::string_view(kVersion));
  json.Field("dp_rank_count", engine.ranks()).Key("loads").Begin('[');
  int running = 0, waiting = 0;
  double usage = 0, throughput = 0, utilization = 0;
  for (const int rank : *ranks) {
    const EngineSnapshot now = engine.RankSnapshot(rank);
    WriteLoad(json, rank, now, max_running, *sections);
    running += now.scheduler.running;
    waiting += now.scheduler.waiting;
    usage += TokenUsage(now.scheduler);
    utilization += Utilization(now.scheduler, max_running);
    throughput += now.generation_throughput;
  }
  const auto count = static_cast<double>(ranks->size());
  json.End(']').Key("aggregate").Begin('{').Field("total_running_reqs", running);
  json.Field("total_waiting_reqs", waiting).Field("total_reqs", running + waiting);
  json.Field("avg_token_usage", usage / count).Field("avg_throughput", throughput / count);
  json.Field("avg_utilization", utilization / count).End('}').End('}');
  SendJson(reply, std::move(out));
}

void HandleCacheBlocks(const ServeContext& context, const HttpRequest& request,
                       const ReplyPtr& reply) {
  const auto ranks = RanksAsked(context.engine, request);
  if (!ranks.ok()) return reply->Send(ErrorResponse(ranks.status()));
  context.engine.InspectCache(ranks->front(), [reply](StatusOr<CacheSnapshot> cache) {
    if (!cache.ok()) return reply->Send(ErrorResponse(cache.status()));
    // A whole cache takes a while to write: no step is to wait for that.
    auto snapshot = std::make_shared<const CacheSnapshot>(*std::move(cache));
    reply->Run([reply, snapshot] { SendJson(reply, CacheJson(*snapshot)); });
  });
}

}  // namespace banyan::serve
