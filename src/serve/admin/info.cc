// SPDX-License-Identifier: Apache-2.0
#include "base/version.h"
#include "engine/kv_events.h"
#include "serve/admin/handlers.h"
#include "serve/json_writer.h"

namespace banyan::serve {
namespace {

const std::string& TokenizerPath(const EngineConfig& config) {
  return config.tokenizer_path.empty() ? config.model_path : config.tokenizer_path;
}

// The engine's settings as they took effect, under SGLang's names.
void WriteSettings(JsonWriter& json, const EngineConfig& config) {
  json.Field("model_path", config.model_path).Field("tokenizer_path", TokenizerPath(config));
  json.Field("skip_tokenizer_init", config.skip_tokenizer_init).Field("dtype", config.dtype);
  json.Field("context_length", config.context_length).Field("device", config.device);
  json.Field("cpu_isa", config.cpu_isa).Field("threads", config.threads);
  json.Field("page_size", config.page_size).Field("max_total_tokens", config.max_total_tokens);
  json.Field("mem_fraction_static", config.mem_fraction_static);
  json.Field("max_running_requests", config.max_running_requests);
  json.Field("max_queued_requests", config.max_queued_requests);
  json.Field("chunked_prefill_size", config.chunked_prefill_size);
  json.Field("max_prefill_tokens", config.max_prefill_tokens);
  json.Field("schedule_policy", config.schedule_policy);
  json.Field("schedule_conservativeness", config.schedule_conservativeness);
  json.Field("dp_size", config.dp_size).Field("load_balance_method", config.load_balance_method);
  json.Key("kv_events_config");
  config.kv_events_config.empty() ? json.Null() : json.Value(config.kv_events_config);
  json.Field("enable_cache_report", config.enable_cache_report);
  json.Field("radix_eviction_policy", config.radix_eviction_policy);
  json.Field("disable_radix_cache", config.disable_radix_cache);
  json.Field("disable_overlap_schedule", config.disable_overlap_schedule);
  json.Field("enable_mixed_chunk", config.enable_mixed_chunk);
  json.Field("random_seed", config.random_seed);
  json.Field("sampling_defaults", config.sampling_defaults);
  json.Field("stream_interval", config.stream_interval);
  json.Field("decode_log_interval", config.decode_log_interval);
  json.Field("watchdog_timeout", config.watchdog_timeout);
}

// Where a router that knows caches finds the events of each rank: SGLang's description of a
// publisher that can be reached over TCP, else null.
void WriteKvEvents(JsonWriter& json, const EngineConfig& config) {
  const auto events = ParseKvEventsConfig(config.kv_events_config);
  if (!events.ok() || events->publisher != "zmq") return void(json.Null());
  const auto tcp = ParseTcpEndpoint(events->endpoint);
  if (!tcp) return void(json.Null());
  json.Begin('{').Field("publisher", events->publisher).Field("endpoint_host", tcp->host);
  json.Field("endpoint_port_base", tcp->port).Field("topic", events->topic);
  json.Field("block_size", config.page_size).Field("dp_size", config.dp_size).End('}');
}

}  // namespace

void HandleModelInfo(const ServeContext& context, const HttpRequest&, const ReplyPtr& reply) {
  const EngineConfig& config = context.engine.config();
  const nn::ModelInfo& model = context.engine.model();
  std::string out;
  JsonWriter json(out);
  json.Begin('{').Field("model_path", config.model_path);
  json.Field("tokenizer_path", TokenizerPath(config)).Field("is_generation", true);
  json.Key("preferred_sampling_params");
  if (context.config.preferred_sampling_params.empty()) {
    json.Null();
  } else {
    json.Value(json::value(context.config.preferred_sampling_params));
  }
  json.Field("weight_version", context.config.weight_version);
  json.Field("has_image_understanding", false).Field("has_audio_understanding", false);
  json.Field("model_type", model.family);
  json.Key("architectures").Begin('[').Value(model.architecture).End(']');
  json.Field("max_model_len", context.engine.max_request_length()).End('}');
  SendJson(reply, std::move(out));
}

void HandleServerInfo(const ServeContext& context, const HttpRequest&, const ReplyPtr& reply) {
  const Engine& engine = context.engine;
  const EngineSnapshot now = engine.Snapshot();
  std::string out;
  JsonWriter json(out);
  json.Begin('{');
  for (const auto& item : context.config.server_args)
    json.Key({item.key().data(), item.key().size()}).Value(item.value());
  json.Field("served_model_name", context.model_name);
  WriteSettings(json, engine.config());
  json.Field("status", now.healthy ? "ready" : "unhealthy");
  json.Field("max_total_num_tokens", engine.RankSnapshot(0).max_total_tokens);
  json.Field("max_req_input_len", engine.max_request_length() - 1);
  json.Key("internal_states").Begin('[');
  for (int rank = 0; rank < engine.ranks(); ++rank) {
    const EngineSnapshot state = engine.RankSnapshot(rank);
    json.Begin('{').Field("last_gen_throughput", state.generation_throughput);
    json.Key("memory_usage").Begin('{');
    constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
    json.Field("weight", static_cast<double>(state.weight_bytes) / kGiB);
    json.Field("kvcache", static_cast<double>(state.cache_bytes) / kGiB);
    json.Field("token_capacity", state.max_total_tokens).Field("graph", 0.0).End('}');
    json.Field("effective_max_running_requests_per_dp", engine.config().max_running_requests);
    json.End('}');
  }
  json.End(']');
  json.Key("kv_events");
  WriteKvEvents(json, engine.config());
  json.Field("version", std::string_view(kVersion)).Field("commit", std::string_view(kCommit));
  json.End('}');
  SendJson(reply, std::move(out));
}

void HandleWeightVersion(const ServeContext& context, const HttpRequest&, const ReplyPtr& reply) {
  std::string out;
  JsonWriter json(out);
  json.Begin('{').Field("weight_version", context.config.weight_version).End('}');
  SendJson(reply, std::move(out));
}

void HandleMemory(const ServeContext& context, const HttpRequest&, const ReplyPtr& reply) {
  const EngineSnapshot now = context.engine.Snapshot();
  const int64_t page_size = context.engine.config().page_size;
  std::string out;
  JsonWriter json(out);
  json.Begin('{').Field("weight_bytes", now.weight_bytes).Field("cache_bytes", now.cache_bytes);
  json.Field("scratch_bytes", now.scratch_bytes).Key("pools").Begin('[');
  for (const PoolUsage& pool : now.scheduler.pools) {
    // In tokens: used by requests, cached for others to find, free (a page just given back is
    // fenced until no step in flight can read it).
    json.Begin('{').Field("name", pool.name).Field("page_size", page_size);
    json.Field("size", pool.total * page_size).Field("used", pool.leased * page_size);
    json.Field("cached", pool.evictable * page_size).Field("free", pool.free * page_size);
    json.Field("fenced", pool.fenced * page_size).End('}');
  }
  json.End(']').Key("ranks").Begin('[');
  for (int rank = 0; rank < context.engine.ranks(); ++rank) {
    const SchedulerStats stats = context.engine.RankSnapshot(rank).scheduler;
    // In pages; tokens of the prefix tree may lack entries of windows and states.
    json.Begin('{').Field("dp_rank", rank).Field("summary", Describe(stats.pools));
    json.Field("prefix_tokens", stats.tree_tokens);
    json.Field("evicted_tokens_total", stats.evicted_tokens_total).End('}');
  }
  json.End(']').End('}');
  SendJson(reply, std::move(out));
}

void HandleMetrics(const ServeContext& context, const HttpRequest&, const ReplyPtr& reply) {
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = context.engine.metrics().Print();
  reply->Send(std::move(response));
}

}  // namespace banyan::serve
