// SPDX-License-Identifier: Apache-2.0
#include "serve/sglang_routes.h"

namespace banyan::serve {
namespace {

constexpr std::string_view kAnthropic = "Anthropic's API is not built yet";
constexpr std::string_view kOllama = "Ollama's API is not built yet";
constexpr std::string_view kResponses = "the Responses API is not built yet";
constexpr std::string_view kEmbedding = "embedding and reward models are not built yet";
constexpr std::string_view kAdapters = "adapters are not built yet";
constexpr std::string_view kWeights = "weight updates are not built yet";
constexpr std::string_view kTiers = "the cache has one tier so far";
constexpr std::string_view kExperts = "expert statistics are not built yet";
constexpr std::string_view kFormats = "reasoning and tool-call formats are not built yet";
constexpr std::string_view kProfile = "profiling through the API is not built yet";
constexpr std::string_view kTraces = "traces are not written yet";
constexpr std::string_view kCorpora = "n-gram speculation is not built yet";
constexpr std::string_view kPlatforms = "this platform's form of requests is not built yet";
constexpr std::string_view kNoGc = "there is no garbage collector";
constexpr std::string_view kDocs = "the API is described in the documentation, not by the server";
constexpr std::string_view kInternals = "it is a handle on SGLang's own internals";

constexpr UnservedRoute kRoutes[] = {
    {"GET|POST", "/clear_hicache_storage_backend", true, kTiers},
    {"GET|PUT|DELETE", "/hicache/storage-backend", true, kTiers},
    {"POST", "/hicache/storage-backend/clear", true, kTiers},
    {"GET|POST", "/start_expert_distribution_record", true, kExperts},
    {"GET|POST", "/stop_expert_distribution_record", true, kExperts},
    {"GET|POST", "/dump_expert_distribution_record", true, kExperts},
    {"GET|POST", "/start_profile", true, kProfile},
    {"GET|POST", "/stop_profile", true, kProfile},
    {"GET|POST", "/set_trace_level", true, kTraces},
    {"GET|POST", "/get_weights_by_name", true, kWeights},
    {"GET|POST", "/weights_checker", true, kWeights},
    {"GET|POST", "/release_memory_occupation", true, kWeights},
    {"GET|POST", "/resume_memory_occupation", true, kWeights},
    {"POST", "/update_weight_version", true, kWeights},
    {"POST", "/update_weights_from_disk", true, kWeights},
    {"POST", "/update_weights_from_distributed", true, kWeights},
    {"POST", "/update_weights_from_ipc", true, kWeights},
    {"POST", "/update_weights_from_tensor", true, kWeights},
    {"POST", "/init_weights_update_group", true, kWeights},
    {"POST", "/destroy_weights_update_group", true, kWeights},
    {"POST", "/init_weights_send_group_for_remote_instance", true, kWeights},
    {"POST", "/send_weights_to_remote_instance", true, kWeights},
    {"GET", "/get_remote_instance_transfer_engine_info", true, kWeights},
    {"GET", "/remote_instance_transfer_engine_info", true, kWeights},
    {"POST", "/load_lora_adapter", true, kAdapters},
    {"POST", "/load_lora_adapter_from_tensors", true, kAdapters},
    {"POST", "/unload_lora_adapter", true, kAdapters},
    {"POST", "/parse_function_call", true, kFormats},
    {"POST", "/separate_reasoning", true, kFormats},
    {"POST", "/v1/messages", true, kAnthropic},
    {"POST", "/v1/messages/count_tokens", true, kAnthropic},
    {"POST", "/v1/responses", true, kResponses},
    {"GET", "/v1/responses/{response_id}", true, kResponses},
    {"POST", "/v1/responses/{response_id}/cancel", true, kResponses},
    {"POST", "/v1/embeddings", true, kEmbedding},
    {"POST", "/v1/classify", true, kEmbedding},
    {"POST|PUT", "/v1/rerank", true, kEmbedding},
    {"POST", "/v1/score", true, kEmbedding},
    {"POST|PUT", "/encode", true, kEmbedding},
    {"POST|PUT", "/classify", true, kEmbedding},
    {"POST", "/v1/audio/transcriptions", true, "speech models are not built yet"},
    {"GET", "/", true, kOllama},
    {"GET", "/api/tags", true, kOllama},
    {"POST", "/api/chat", true, kOllama},
    {"POST", "/api/generate", true, kOllama},
    {"POST", "/api/show", true, kOllama},
    {"POST", "/invocations", true, kPlatforms},
    {"GET", "/ping", true, kPlatforms},
    {"POST", "/vertex_generate", true, kPlatforms},
    {"POST", "/add_external_corpus", true, kCorpora},
    {"POST", "/remove_external_corpus", true, kCorpora},
    {"GET", "/list_external_corpora", true, kCorpora},
    {"GET|POST", "/configure_logging", true, "logging is set by flags at the start"},
    {"GET|POST", "/freeze_gc", false, kNoGc},
    {"GET|POST", "/slow_down", false, kInternals},
    {"POST|PUT", "/set_internal_state", false, kInternals},
    {"GET", "/docs", false, kDocs},
    {"GET", "/docs/oauth2-redirect", false, kDocs},
    {"GET", "/redoc", false, kDocs},
    {"GET", "/openapi.json", false, kDocs},
};

}  // namespace

std::span<const UnservedRoute> UnservedRoutes() { return kRoutes; }

}  // namespace banyan::serve
