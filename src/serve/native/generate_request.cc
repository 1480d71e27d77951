// SPDX-License-Identifier: Apache-2.0
#include "serve/native/generate_request.h"

#include "serve/request_fields.h"

namespace banyan::serve {
namespace {

constexpr double kMaxTokens = 1 << 30;
constexpr std::size_t kMaxPrompts = 4096;

constexpr std::string_view kNoGrammar = "constrained decoding is not built yet";
constexpr std::string_view kNoLora = "adapters are not built yet";
constexpr std::string_view kNoMedia = "this engine reads text only so far";
constexpr std::string_view kNoDisaggregation = "prefill and decode run in one process";
constexpr std::string_view kInternal = "it is for the parts of an SGLang server among themselves";
constexpr std::string_view kNoExperts = "expert choices are not returned yet";

constexpr RefusedField kRefused[] = {
    {"input_embeds", "prompts are text or token ids so far", ""},
    {"image_data", kNoMedia, "[]"},
    {"video_data", kNoMedia, "[]"},
    {"audio_data", kNoMedia, "[]"},
    {"mm_hashes", kNoMedia, "[]"},
    {"use_audio_in_video", kNoMedia, "false"},
    {"modalities", kNoMedia, "[]"},
    {"max_dynamic_patch", kNoMedia, ""},
    {"min_dynamic_patch", kNoMedia, ""},
    {"image_max_dynamic_patch", kNoMedia, ""},
    {"video_max_dynamic_patch", kNoMedia, ""},
    {"return_hidden_states", "hidden states are not returned yet", "false"},
    {"return_routed_experts", kNoExperts, "false"},
    {"routed_experts_start_len", kNoExperts, "0"},
    {"return_indexer_topk", "index choices are not returned yet", "false"},
    {"lora_path", kNoLora, R"("")"},
    {"lora_id", kNoLora, ""},
    {"custom_logit_processor", "requests cannot carry code", ""},
    {"positional_embed_overrides", "positions follow from the tokens", ""},
    {"bootstrap_host", kNoDisaggregation, ""},
    {"bootstrap_port", kNoDisaggregation, ""},
    {"bootstrap_room", kNoDisaggregation, ""},
    {"bootstrap_pair_key", kNoDisaggregation, ""},
    {"decode_tp_size", kNoDisaggregation, ""},
    {"disagg_prefill_dp_rank", kNoDisaggregation, ""},
    {"require_reasoning", "reasoning cannot be parsed yet", "false"},
    {"background", "every request is answered while it is waited for", "false"},
    {"conversation_id", "conversations are not kept", ""},
    {"custom_labels", "requests carry no metric labels", "{}"},
    {"return_bytes", "replies are JSON", "false"},
    {"return_entropy", "entropies are not returned yet", "false"},
    {"return_prompt_token_ids", "use /tokenize for the prompt's ids", "false"},
    {"external_trace_header", "traces are not written yet", ""},
    {"multi_item_delimiter_indices", "several items in one prompt are not scored yet", ""},
    {"http_worker_ipc", kInternal, ""},
    {"received_time", kInternal, ""},
    {"need_wait_for_mm_inputs", kInternal, "false"},
    {"num_items_assigned", kInternal, ""},
    {"mm_data_mooncake", kInternal, ""},
    {"encoder_urls", kInternal, ""},
};

constexpr RefusedField kRefusedSampling[] = {
    {"json_schema", kNoGrammar, ""},
    {"regex", kNoGrammar, ""},
    {"ebnf", kNoGrammar, ""},
    {"structural_tag", kNoGrammar, ""},
    {"stop_regex", "stop strings are exact texts so far", "[]"},
    {"custom_params", "requests cannot carry code", "{}"},
    {"stream_interval", "it is set for the whole server by --stream-interval", ""},
};

// A field of a batch: one value for all, or a list of one per prompt. Lists whose items are lists
// themselves (`nested`) are one per prompt; a flat list is then one value.
class PerItem {
 public:
  PerItem(Fields& fields, std::string_view key, std::size_t items, bool batch, bool nested = false)
      : value_(fields.Raw(key)) {
    if (value_ == nullptr || !value_->is_array()) return;
    const json::array& list = value_->get_array();
    if (nested && (list.empty() || !list[0].is_array())) return;
    list_ = &list;
    if (!batch) {
      fields.Fail(key, "is a list, but there is one prompt that is not in a list");
    } else if (list.size() != items) {
      fields.Fail(key, fmt::format("is a list of {} for {} prompts", list.size(), items));
    }
  }
  bool is_list() const { return list_ != nullptr; }
  // Null when absent. Valid while the constructor has not failed.
  const json::value* at(std::size_t i) const {
    const json::value* found = list_ == nullptr ? value_ : &(*list_)[i];
    return found == nullptr || found->is_null() ? nullptr : found;
  }

 private:
  const json::value* value_;
  const json::array* list_ = nullptr;
};

bool ReadIds(const json::value& value, std::vector<TokenId>& out) {
  if (!value.is_array()) return false;
  out.reserve(value.get_array().size());
  for (const json::value& item : value.get_array()) {
    boost::system::error_code error;
    const auto id = item.is_int64() ? item.to_number<TokenId>(error) : -1;
    if (error || id < 0) return false;
    out.push_back(id);
  }
  return true;
}

void ReadInputs(Fields& fields, GenerateBody& body) {
  const json::value* text = fields.Raw("text");
  const json::value* ids = fields.Raw("input_ids");
  if ((text == nullptr) == (ids == nullptr))
    return fields.Fail("text", "or 'input_ids' must be given, and not both");
  const json::value& input = text != nullptr ? *text : *ids;
  const std::string_view key = text != nullptr ? "text" : "input_ids";
  body.batch = text != nullptr ? input.is_array()
                               : input.is_array() && !input.get_array().empty() &&
                                     input.get_array()[0].is_array();
  const std::size_t count = body.batch ? input.get_array().size() : 1;
  if (count == 0) return fields.Fail(key, "is an empty list");
  if (count > kMaxPrompts)
    return fields.Fail(key, fmt::format("holds more than {} prompts", kMaxPrompts));
  body.items.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const json::value& item = body.batch ? input.get_array()[i] : input;
    if (text != nullptr) {
      if (!item.is_string()) return fields.Fail(key, "is neither a string nor a list of strings");
      body.items[i].text = View(item.get_string());
    } else if (!ReadIds(item, body.items[i].input_ids)) {
      return fields.Fail(key, "is neither a list of token ids nor a list of such lists");
    }
  }
}

// One value of a per-item field, as T; remembers what is wrong.
template <typename T>
T Get(Fields& fields, std::string_view key, const json::value* value, T fallback,
      Range range = {}) {
  if (value == nullptr) return fallback;
  json::object one;
  one.emplace(json::string_view(key.data(), key.size()), *value);
  Fields inner(one, "request");
  T out = inner.Optional<T>(key, fallback, range);
  if (!inner.status().ok()) {
    // The same words, once.
    const std::string message = Message(inner.status());
    const std::string before = fmt::format("request: '{}' ", key);
    fields.Fail(key, std::string_view(message).substr(before.size()));
  }
  return out;
}

void ReadLogprobs(Fields& fields, GenerateBody& body) {
  const std::size_t count = body.items.size();
  const PerItem enabled(fields, "return_logprob", count, body.batch);
  const PerItem start(fields, "logprob_start_len", count, body.batch);
  const PerItem top(fields, "top_logprobs_num", count, body.batch);
  const PerItem ids(fields, "token_ids_logprob", count, body.batch, true);
  if (!fields.status().ok()) return;
  for (std::size_t i = 0; i < count; ++i) {
    LogprobParams& logprobs = body.items[i].logprobs;
    logprobs.enabled = Get<bool>(fields, "return_logprob", enabled.at(i), false);
    logprobs.prompt_start =
        Get<int>(fields, "logprob_start_len", start.at(i), -1, {-1, kMaxTokens});
    logprobs.top_n = Get<int>(fields, "top_logprobs_num", top.at(i), 0, {0, kMaxTokens});
    if (const json::value* list = ids.at(i); list != nullptr && !ReadIds(*list, logprobs.token_ids))
      return fields.Fail("token_ids_logprob", "is no list of token ids");
    if (!logprobs.enabled) logprobs = LogprobParams{};  // SGLang's rule: the rest is then unused
  }
}

Status ReadSamplingParams(Fields& fields, const SamplingParams& defaults, GenerateBody& body) {
  const PerItem params(fields, "sampling_params", body.items.size(), body.batch);
  BANYAN_RETURN_IF_ERROR(fields.status());
  for (std::size_t i = 0; i < body.items.size(); ++i) {
    SamplingParams& sampling = body.items[i].sampling;
    sampling = defaults;
    const json::value* object = params.at(i);
    if (object == nullptr) continue;
    if (!object->is_object()) {
      fields.Fail("sampling_params", "is not an object");
      return fields.status();
    }
    BANYAN_RETURN_IF_ERROR(ParseSamplingParams(object->get_object(), "sampling_params", sampling));
    body.items[i].length_given = object->get_object().contains("max_new_tokens");
  }
  for (const GenerateItem& item : body.items) {
    if (item.sampling.n != body.items[0].sampling.n)
      fields.Fail("sampling_params", "must have the same 'n' for all prompts");
  }
  return fields.status();
}

}  // namespace

Status ParseSamplingParams(const json::object& object, std::string_view where,
                           SamplingParams& sampling) {
  Fields fields(object, where);
  ReadSampling(fields, sampling);
  if (fields.Has("max_new_tokens")) {
    sampling.max_new_tokens = fields.Maybe<int>("max_new_tokens", {0, kMaxTokens});
  } else if (object.contains("max_new_tokens")) {
    sampling.max_new_tokens = std::nullopt;  // null is said outright: as many as fit
  }
  sampling.min_new_tokens =
      fields.Optional<int>("min_new_tokens", sampling.min_new_tokens, {0, kMaxTokens});
  // Of no effect, as with every fast tokenizer: decoding puts no spaces there.
  sampling.spaces_between_special_tokens = fields.Optional<bool>(
      "spaces_between_special_tokens", sampling.spaces_between_special_tokens);
  if (fields.Has("sampling_seed"))
    sampling.seed = static_cast<uint64_t>(fields.Optional<int64_t>("sampling_seed", 0));
  fields.Ignore({"max_new_tokens", "sampling_seed"});
  RefuseFields(fields, kRefusedSampling);
  return FinishFields(fields);
}

StatusOr<GenerateBody> ParseGenerateBody(const json::object& object,
                                         const SamplingParams& defaults) {
  GenerateBody body;
  Fields fields(object, "request");
  body.stream = fields.Optional<bool>("stream", false);
  body.text_in_logprobs = fields.Optional<bool>("return_text_in_logprobs", false);
  body.priority = fields.Maybe<int>("priority");
  body.dp_rank = ReadDpRank(fields);
  body.routing_key = fields.Optional<std::string>("routing_key", "");
  CheckKey(fields, "routing_key", body.routing_key);
  body.log = !fields.Optional<bool>("no_logs", false);
  body.log_metrics = fields.Optional<bool>("log_metrics", true);
  ReadInputs(fields, body);
  BANYAN_RETURN_IF_ERROR(fields.status());
  BANYAN_RETURN_IF_ERROR(ReadSamplingParams(fields, defaults, body));
  ReadLogprobs(fields, body);
  ReadRids(fields);  // their form and length
  const PerItem rids(fields, "rid", body.items.size(), body.batch);
  const PerItem keys(fields, "extra_key", body.items.size(), body.batch);
  const PerItem sessions(fields, "session_params", body.items.size(), body.batch);
  BANYAN_RETURN_IF_ERROR(fields.status());
  for (std::size_t i = 0; i < body.items.size(); ++i) {
    GenerateItem& item = body.items[i];
    item.rid = Get<std::string>(fields, "rid", rids.at(i), "");
    if (!item.rid.empty() && !rids.is_list() && body.items.size() > 1)
      item.rid += fmt::format("_{}", i);
    item.extra_key = Get<std::string>(fields, "extra_key", keys.at(i), "");
    CheckNamespace(fields, "extra_key", item.extra_key);
    item.session = ReadSession(fields, sessions.at(i));
  }
  RefuseFields(fields, kRefused);
  BANYAN_RETURN_IF_ERROR(FinishFields(fields));
  body.batch = body.batch || body.items[0].sampling.n > 1;
  return body;
}

}  // namespace banyan::serve
