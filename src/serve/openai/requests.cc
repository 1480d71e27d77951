// SPDX-License-Identifier: Apache-2.0
#include "serve/openai/requests.h"

#include <array>

#include "serve/request_fields.h"

namespace banyan::serve {
namespace {

constexpr double kMaxTokens = 1 << 30;
constexpr int kMaxTopLogprobs = 20;
constexpr std::size_t kMaxPrompts = 2048;

constexpr std::string_view kNoGrammar = "constrained decoding is not built yet";
constexpr std::string_view kNoLora = "adapters are not built yet";
constexpr std::string_view kNoMedia = "this engine reads text only so far";
constexpr std::string_view kNoDisaggregation = "prefill and decode run in one process";
constexpr std::string_view kNoFunctions = "this is the old form of 'tools'";
constexpr std::string_view kNoStates = "hidden states are not returned yet";
constexpr std::string_view kNoExperts = "expert choices are not returned yet";
constexpr std::string_view kNoCode = "requests cannot carry code";

constexpr RefusedField kRefusedInBoth[] = {
    {"response_format", kNoGrammar, R"({"type":"text"})"},
    {"regex", kNoGrammar, ""},
    {"ebnf", kNoGrammar, ""},
    {"stop_regex", "stop strings are exact texts so far", "[]"},
    {"lora_path", kNoLora, R"("")"},
    {"custom_logit_processor", kNoCode, ""},
    {"custom_params", kNoCode, "{}"},
    {"return_hidden_states", kNoStates, "false"},
    {"return_routed_experts", kNoExperts, "false"},
    {"routed_experts_start_len", kNoExperts, "0"},
    {"bootstrap_host", kNoDisaggregation, ""},
    {"bootstrap_port", kNoDisaggregation, ""},
    {"bootstrap_room", kNoDisaggregation, ""},
    {"disagg_prefill_dp_rank", kNoDisaggregation, ""},
};

constexpr RefusedField kRefusedInChat[] = {
    {"functions", kNoFunctions, "[]"},
    {"function_call", kNoFunctions, R"("none"|"auto")"},
    {"separate_reasoning", "reasoning cannot be parsed yet; it stays in the content", "true|false"},
    {"stream_reasoning", "reasoning cannot be parsed yet; it stays in the content", "true|false"},
    {"task", "this is for models that are not built yet", ""},
    {"max_dynamic_patch", kNoMedia, ""},
    {"min_dynamic_patch", kNoMedia, ""},
    {"use_audio_in_video", kNoMedia, "false"},
    {"input_ids", "use /generate or /v1/completions for token ids", ""},
    {"return_prompt_token_ids", "use /render for the prompt's ids", "false"},
    {"return_meta_info", "use /generate for it", "false"},
    {"modalities", kNoMedia, R"(["text"])"},
    {"audio", kNoMedia, ""},
    {"prediction", "speculation is not built yet", ""},
    {"web_search_options", "this engine does not search", ""},
    {"moderation", "this engine does not moderate", ""},
    {"verbosity", "no model here is told of it", R"("medium")"},
    {"store", "nothing is stored", "false"},
    {"metadata", "nothing is stored", "{}"},
    {"service_tier", "there is one tier", R"("auto"|"default")"},
    {"prompt_cache_key", "use extra_key or cache_salt to separate cached prefixes", ""},
    {"prompt_cache_retention", "cached prefixes stay while there is room", ""},
    {"prompt_cache_options", "cached prefixes stay while there is room", ""},
};

constexpr RefusedField kRefusedInCompletions[] = {
    {"suffix", "the models here do not fill in the middle", R"("")"},
    {"json_schema", kNoGrammar, ""},
    {"custom_labels", "requests carry no metric labels", "{}"},
};

Status ReadStreamOptions(Fields& fields, OpenAiOptions& options) {
  const json::value* value = fields.Raw("stream_options");
  if (value == nullptr) return OkStatus();
  if (!value->is_object()) {
    fields.Fail("stream_options", "is not an object");
    return fields.status();
  }
  if (!options.stream) {
    fields.Fail("stream_options", "is for requests with 'stream': true only");
    return fields.status();
  }
  Fields inner(value->get_object(), "stream_options");
  options.include_usage = inner.Optional<bool>("include_usage", options.include_usage);
  options.continuous_usage = inner.Optional<bool>("continuous_usage_stats", false);
  // Padding against guessing from packet sizes; harmless to do without.
  inner.Optional<bool>("include_obfuscation", false);
  return FinishFields(inner);
}

// What both requests share.
Status ReadOptions(Fields& fields, const OpenAiDefaults& defaults, OpenAiOptions& options) {
  options.sampling = defaults.sampling;
  options.include_usage = defaults.include_usage;
  options.model = fields.Optional<std::string>("model", "");
  options.stream = fields.Optional<bool>("stream", false);
  BANYAN_RETURN_IF_ERROR(ReadStreamOptions(fields, options));
  ReadSampling(fields, options.sampling);
  options.sampling.min_new_tokens =
      fields.Optional<int>("min_tokens", options.sampling.min_new_tokens, {0, kMaxTokens});
  if (fields.Has("seed")) {
    // OpenAI's seeds are signed.
    options.sampling.seed = static_cast<uint64_t>(fields.Optional<int64_t>("seed", 0));
  }
  fields.Ignore({"seed"});
  options.priority = fields.Maybe<int>("priority");
  options.dp_rank = ReadDpRank(fields);
  options.cache_details = fields.Optional<bool>("return_cached_tokens_details", false);
  options.session = ReadSession(fields, fields.Raw("session_params"));
  options.rids = ReadRids(fields);
  // Either alone is the key, both together one of their own.
  options.extra_keys = ReadStrings(fields, "cache_salt");
  const std::vector<std::string> extra = ReadStrings(fields, "extra_key");
  for (const std::string& key : options.extra_keys) CheckNamespace(fields, "cache_salt", key);
  for (const std::string& key : extra) CheckNamespace(fields, "extra_key", key);
  if (options.extra_keys.empty()) {
    options.extra_keys = extra;
  } else if (!extra.empty()) {
    if (extra.size() != options.extra_keys.size()) {
      fields.Fail("extra_key", "and 'cache_salt' are lists of different lengths");
      return fields.status();
    }
    for (std::size_t i = 0; i < extra.size(); ++i) {
      std::string& key = options.extra_keys[i];
      // A byte that no text has: another pair, or one key alone, never reads the same.
      if (!key.empty() && !extra[i].empty()) key += '\xFF';
      key += extra[i];
    }
  }
  // Both name the end user to OpenAI. It becomes a key that the queue keeps.
  for (const char* name : {"user", "safety_identifier"}) {
    options.user = fields.Optional<std::string>(name, options.user);
    CheckKey(fields, name, options.user);
  }
  RefuseFields(fields, kRefusedInBoth);
  return fields.status();
}

void CheckLengths(Fields& fields, const SamplingParams& sampling) {
  if (sampling.max_new_tokens && sampling.min_new_tokens > *sampling.max_new_tokens)
    fields.Fail("min_tokens", fmt::format("{} is more than the {} tokens that may be generated",
                                          sampling.min_new_tokens, *sampling.max_new_tokens));
}

void CheckPerPrompt(Fields& fields, std::string_view key, std::size_t given, std::size_t prompts) {
  if (given > 1 && given != prompts)
    fields.Fail(key, fmt::format("is a list of {} for {} prompts", given, prompts));
}

void ReadPrompts(Fields& fields, CompletionRequest& request) {
  const json::value* prompt = fields.Raw("prompt");
  if (prompt == nullptr) return fields.Fail("prompt", "is missing");
  auto ids = [&fields](const json::array& items, std::vector<text::TokenId>& out) {
    out.reserve(items.size());
    for (const json::value& item : items) {
      boost::system::error_code error;
      const auto id = item.is_int64() ? item.to_number<text::TokenId>(error) : -1;
      if (error || id < 0) {
        fields.Fail("prompt", "holds something that is no token id");
        return;
      }
      out.push_back(id);
    }
  };
  if (prompt->is_string()) {
    request.prompts.emplace_back(std::string(View(prompt->get_string())));
    return;
  }
  if (!prompt->is_array())
    return fields.Fail("prompt",
                       "is neither a string, nor a list of strings, token ids or lists "
                       "of token ids");
  const json::array& items = prompt->get_array();
  if (items.empty()) return fields.Fail("prompt", "is an empty list");
  if (items[0].is_number()) {
    ids(items, request.prompts.emplace_back().emplace<1>());
    return;
  }
  if (items.size() > kMaxPrompts)
    return fields.Fail("prompt", fmt::format("holds more than {} prompts", kMaxPrompts));
  for (const json::value& item : items) {
    if (item.is_string() && items[0].is_string()) {
      request.prompts.emplace_back(std::string(View(item.get_string())));
    } else if (item.is_array() && items[0].is_array()) {
      ids(item.get_array(), request.prompts.emplace_back().emplace<1>());
    } else {
      return fields.Fail("prompt", "is neither a list of strings nor one of lists of token ids");
    }
  }
}

}  // namespace

StatusOr<ChatRequest> ParseChatRequest(const json::object& body, const OpenAiDefaults& defaults) {
  ChatRequest request;
  OpenAiOptions& options = request.options;
  Fields fields(body, "request");
  BANYAN_RETURN_IF_ERROR(ReadOptions(fields, defaults, options));
  ReadChatInput(fields, request.chat);
  ReadTools(fields, request.chat);
  fields.Maybe<bool>("parallel_tool_calls");  // says how calls may come, and changes no prompt
  options.sampling.max_new_tokens = fields.Maybe<int>("max_tokens", {0, kMaxTokens});
  if (auto limit = fields.Maybe<int>("max_completion_tokens", {0, kMaxTokens}))
    options.sampling.max_new_tokens = limit;
  options.logprobs = fields.Optional<bool>("logprobs", false);
  if (auto top = fields.Maybe<int>("top_logprobs", {0, kMaxTopLogprobs})) {
    options.top_logprobs = *top;
    if (!options.logprobs && *top > 0) fields.Fail("top_logprobs", "needs 'logprobs': true");
  }
  CheckLengths(fields, options.sampling);
  CheckPerPrompt(fields, "rid", options.rids.size(), 1);
  CheckPerPrompt(fields, "extra_key", options.extra_keys.size(), 1);
  RefuseFields(fields, kRefusedInChat);
  BANYAN_RETURN_IF_ERROR(FinishFields(fields));
  return request;
}

StatusOr<CompletionRequest> ParseCompletionRequest(const json::object& body,
                                                   const OpenAiDefaults& defaults) {
  CompletionRequest request;
  OpenAiOptions& options = request.options;
  Fields fields(body, "request");
  BANYAN_RETURN_IF_ERROR(ReadOptions(fields, defaults, options));
  ReadPrompts(fields, request);
  options.sampling.max_new_tokens = fields.Optional<int>("max_tokens", 16, {0, kMaxTokens});
  request.echo = fields.Optional<bool>("echo", false);
  if (auto top = fields.Maybe<int>("logprobs", {0, kMaxTopLogprobs})) {
    options.logprobs = true;
    options.top_logprobs = *top;
  }
  // The past is in the log-probabilities of the prompt, and not in the text that is repeated.
  if (request.echo && options.logprobs && options.session && !options.session->rid.empty())
    fields.Fail("echo", "does not go with 'logprobs' where session_params names a 'rid'");
  if (auto best = fields.Maybe<int>("best_of", {0, 20}); best && *best > options.sampling.n)
    fields.Fail("best_of", "is not supported: all samples are returned; use 'n'");
  CheckLengths(fields, options.sampling);
  CheckPerPrompt(fields, "rid", options.rids.size(), request.prompts.size());
  CheckPerPrompt(fields, "extra_key", options.extra_keys.size(), request.prompts.size());
  RefuseFields(fields, kRefusedInCompletions);
  BANYAN_RETURN_IF_ERROR(FinishFields(fields));
  return request;
}

}  // namespace banyan::serve
