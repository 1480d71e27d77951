// SPDX-License-Identifier: Apache-2.0
#include "serve/request_fields.h"

#include <algorithm>
#include <charconv>

#include "base/nearest.h"

namespace banyan::serve {
namespace {

constexpr double kMaxInt = 2147483647;
constexpr int kMaxSamples = 128;         // OpenAI's limit of n
constexpr std::size_t kMaxStops = 1024;  // more is a mistake, and each costs at every token
constexpr std::size_t kMaxStopBytes = 64 << 10;

// Within an object, as around it, null is as absent.
bool Same(const json::value& value, const json::value& neutral) {
  const json::object* object = value.if_object();
  if (object == nullptr || !neutral.is_object()) return value == neutral;
  std::size_t same = 0;
  for (const auto& item : *object) {
    if (item.value().is_null()) continue;
    const json::value* other = neutral.get_object().if_contains(item.key());
    if (other == nullptr || *other != item.value()) return false;
    ++same;
  }
  return same == neutral.get_object().size();
}

bool IsNeutral(const json::value& value, std::string_view neutral) {
  while (!neutral.empty()) {
    const std::size_t bar = std::min(neutral.find('|'), neutral.size());
    if (Same(value, json::parse(json::string_view(neutral.data(), bar)))) return true;
    neutral.remove_prefix(std::min(bar + 1, neutral.size()));
  }
  return false;
}

}  // namespace

void RefuseFields(Fields& fields, std::span<const RefusedField> refused) {
  for (const RefusedField& field : refused) {
    const json::value* value = fields.Raw(field.name);
    if (value != nullptr && !IsNeutral(*value, field.neutral))
      fields.Fail(field.name, fmt::format("is not supported: {}", field.reason));
  }
}

Status FinishFields(Fields& fields) {
  BANYAN_RETURN_IF_ERROR(fields.status());
  const std::vector<std::string> unread = fields.Unread();
  if (unread.empty()) return OkStatus();
  const std::string nearest = Nearest(unread[0], fields.Read());
  fields.Fail(unread[0],
              nearest.empty()
                  ? "is not a field of this request"
                  : fmt::format("is not a field of this request; did you mean '{}'?", nearest));
  return fields.status();
}

std::vector<std::string> ReadStrings(Fields& fields, std::string_view key) {
  const json::value* value = fields.Raw(key);
  if (value == nullptr) return {};
  if (value->is_string()) return {std::string(View(value->get_string()))};
  if (!value->is_array()) {
    fields.Fail(
        key, fmt::format("expected a string or a list of strings, found {}", JsonTypeName(*value)));
    return {};
  }
  return fields.Optional<std::vector<std::string>>(key, {});
}

void CheckKey(Fields& fields, std::string_view field, std::string_view key) {
  if (key.size() > kMaxKeyBytes)
    fields.Fail(field, fmt::format("is longer than {} bytes", kMaxKeyBytes));
}

void CheckNamespace(Fields& fields, std::string_view field, std::string_view key) {
  if (key.size() > kMaxNamespaceBytes)
    fields.Fail(field, fmt::format("is longer than {} bytes", kMaxNamespaceBytes));
}

std::vector<std::string> ReadRids(Fields& fields) {
  std::vector<std::string> rids = ReadStrings(fields, "rid");
  for (const std::string& rid : rids) CheckKey(fields, "rid", rid);
  return rids;
}

std::optional<SessionParams> ReadSession(Fields& fields, const json::value* value) {
  if (value == nullptr || value->is_null()) return std::nullopt;
  if (!value->is_object()) {
    fields.Fail("session_params",
                fmt::format("expected an object, found {}", JsonTypeName(*value)));
    return std::nullopt;
  }
  Fields inner(value->get_object(), "session_params");
  SessionParams session;
  session.id = inner.Required<std::string>("id");
  session.rid = inner.Optional<std::string>("rid", "");
  session.offset = inner.Optional<int64_t>("offset", 0, {-kMaxInt, kMaxInt});
  session.replace = inner.Optional<bool>("replace", false);
  session.drop_previous_output = inner.Optional<bool>("drop_previous_output", false);
  if (Status status = FinishFields(inner); !status.ok())
    fields.Fail("session_params", "is not valid: " + Message(status));
  return session;
}

std::optional<int> ReadDpRank(Fields& fields) {
  const std::optional<int> old = fields.Maybe<int>("data_parallel_rank", {0, 1 << 20});
  const std::optional<int> rank = fields.Maybe<int>("routed_dp_rank", {0, 1 << 20});
  if (old && rank && *old != *rank)
    fields.Fail("routed_dp_rank", "and 'data_parallel_rank' are not the same");
  return rank ? rank : old;
}

void ReadLogitBias(Fields& fields, SamplingParams& sampling) {
  const json::value* value = fields.Raw("logit_bias");
  if (value == nullptr) return;
  if (!value->is_object()) {
    fields.Fail("logit_bias", fmt::format("expected an object, found {}", JsonTypeName(*value)));
    return;
  }
  sampling.logit_bias.clear();
  for (const auto& item : value->get_object()) {
    const std::string_view key(item.key().data(), item.key().size());
    TokenId id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0) {
      fields.Fail("logit_bias", fmt::format("key '{}' is no token id", key.substr(0, 64)));
      return;
    }
    if (!item.value().is_number()) {
      fields.Fail("logit_bias", fmt::format("value of {} is not a number", id));
      return;
    }
    sampling.logit_bias.emplace_back(id, item.value().to_number<float>());
  }
}

void ReadSampling(Fields& fields, SamplingParams& sampling) {
  auto read = [&fields](std::string_view key, auto& value, Range range = {}) {
    using T = std::remove_reference_t<decltype(value)>;
    value = fields.Optional<T>(key, value, range);
  };
  read("temperature", sampling.temperature, {0, 1e6});
  read("top_p", sampling.top_p, {0, 1});
  read("top_k", sampling.top_k, {-1, kMaxInt});
  read("min_p", sampling.min_p, {0, 1});
  read("frequency_penalty", sampling.frequency_penalty, {-2, 2});
  read("presence_penalty", sampling.presence_penalty, {-2, 2});
  read("repetition_penalty", sampling.repetition_penalty, {0, 2});
  read("ignore_eos", sampling.ignore_eos);
  read("no_stop_trim", sampling.no_stop_trim);
  read("skip_special_tokens", sampling.skip_special_tokens);
  read("n", sampling.n, {1, kMaxSamples});
  if (fields.Has("stop")) {
    sampling.stop = ReadStrings(fields, "stop");
    std::size_t bytes = 0;
    for (const std::string& text : sampling.stop) bytes += text.size();
    if (sampling.stop.size() > kMaxStops || bytes > kMaxStopBytes)
      fields.Fail("stop",
                  fmt::format("holds more than {} strings or {} bytes", kMaxStops, kMaxStopBytes));
  }
  if (fields.Has("stop_token_ids"))
    sampling.stop_token_ids = fields.Optional<std::vector<int>>("stop_token_ids", {}, {0, kMaxInt});
  fields.Ignore({"stop", "stop_token_ids"});
  ReadLogitBias(fields, sampling);
}

}  // namespace banyan::serve
