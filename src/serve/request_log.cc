// SPDX-License-Identifier: Apache-2.0
#include "serve/request_log.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "serve/json_writer.h"
#include "serve/openai/format_parts.h"

namespace banyan::serve {
namespace {

constexpr std::size_t kShownIds = 256;
constexpr std::size_t kShownBytes = 2048;

std::string Quoted(std::string_view text) {
  std::string out;
  AppendJsonString(out, text);  // the client's own words
  return out;
}

std::string SamplingText(const SamplingParams& sampling) {
  std::string out = fmt::format(
      " sampling: temperature={} top_p={} top_k={} min_p={} frequency_penalty={}"
      " presence_penalty={} repetition_penalty={} n={} ignore_eos={} min_new_tokens={}"
      " stop_token_ids={}",
      sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p,
      sampling.frequency_penalty, sampling.presence_penalty, sampling.repetition_penalty,
      sampling.n, sampling.ignore_eos, sampling.min_new_tokens, sampling.stop_token_ids);
  for (const std::string& stop : sampling.stop) out += " stop=" + Quoted(stop);
  if (sampling.max_new_tokens) out += fmt::format(" max_new_tokens={}", *sampling.max_new_tokens);
  if (sampling.seed) out += fmt::format(" seed={}", *sampling.seed);
  return out;
}

void WriteSampling(JsonWriter& json, const SamplingParams& sampling) {
  json.Key("sampling_params").Begin('{').Key("max_new_tokens");
  sampling.max_new_tokens ? json.Value(*sampling.max_new_tokens) : json.Null();
  json.Field("min_new_tokens", sampling.min_new_tokens).Field("temperature", sampling.temperature);
  json.Field("top_p", sampling.top_p).Field("top_k", sampling.top_k);
  json.Field("min_p", sampling.min_p).Field("frequency_penalty", sampling.frequency_penalty);
  json.Field("presence_penalty", sampling.presence_penalty);
  json.Field("repetition_penalty", sampling.repetition_penalty).Field("n", sampling.n);
  json.Field("ignore_eos", sampling.ignore_eos).Key("sampling_seed");
  sampling.seed ? json.Value(*sampling.seed) : json.Null();
  json.Key("stop").Begin('[');
  for (const std::string& stop : sampling.stop) json.Value(stop);
  json.End(']').Key("stop_token_ids").Begin('[');
  for (const TokenId id : sampling.stop_token_ids) json.Value(id);
  json.End(']').End('}');
}

}  // namespace

RequestLog::RequestLog(const RequestLogConfig& config)
    : level_(config.level), json_(config.format == "json") {}

RequestLog::~RequestLog() {
  for (const int file : files_)
    if (file != STDOUT_FILENO) ::close(file);
}

StatusOr<std::unique_ptr<const RequestLog>> RequestLog::Open(const RequestLogConfig& config) {
  if (!config.enabled) return std::unique_ptr<const RequestLog>();
  auto log = std::unique_ptr<RequestLog>(new RequestLog(config));
  for (const std::string& target : config.targets) {
    if (target == "stdout") {
      log->files_.push_back(STDOUT_FILENO);
      continue;
    }
    // The last part of the path may be new.
    if (::mkdir(target.c_str(), 0777) != 0 && errno != EEXIST)
      return InvalidArgument("--log-requests-target: {}: {}", target, std::strerror(errno));
    const std::string path = target + "/requests.log";
    const int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0)
      return InvalidArgument("--log-requests-target: {}: {}", path, std::strerror(errno));
    log->files_.push_back(file);
  }
  return std::unique_ptr<const RequestLog>(std::move(log));
}

std::size_t RequestLog::output_limit() const {
  return level_ >= 3 ? std::string::npos : level_ == 2 ? kShownBytes : 0;
}

void RequestLog::Write(std::string_view event, std::string_view rid, std::string_view text,
                       std::string_view json) const {
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const std::string time = fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(seconds),
                                       now.time_since_epoch().count() % 1000);
  std::string line;
  if (json_) {
    line = fmt::format(R"({{"timestamp":"{}","event":"{}","rid":{},{}}})", time, event, Quoted(rid),
                       json);
  } else {
    line = fmt::format("{}: rid={}{}", event == "request.received" ? "Receive" : "Finish",
                       Quoted(rid), text);
    if (!files_.empty()) line = fmt::format("[{}] {}", time, line);
  }
  if (files_.empty()) return LogInfo("{}", line);
  line += '\n';
  // One write for a line, appended: lines of several threads stay whole. A full disk loses lines,
  // not requests.
  for (const int file : files_) (void)!::write(file, line.data(), line.size());
}

void RequestLog::Received(const GenerateRequest& request) const {
  const std::size_t shown = level_ >= 3   ? request.input_ids.size()
                            : level_ == 2 ? std::min(request.input_ids.size(), kShownIds)
                                          : 0;
  const bool cut = shown < request.input_ids.size();
  const std::string ids =
      fmt::format("{}", fmt::join(request.input_ids.begin(),
                                  request.input_ids.begin() + static_cast<std::ptrdiff_t>(shown),
                                  json_ ? "," : ", "));
  if (json_) {
    std::string out;
    JsonWriter json(out);
    json.Key("obj").Begin('{').Field("prompt_tokens", request.input_ids.size());
    json.Field("priority", request.priority.value_or(0)).Field("stream", request.stream);
    if (level_ >= 1) WriteSampling(json, request.sampling);
    if (level_ >= 2) json.Key("input_ids").Raw("[" + ids + "]").Field("input_ids_cut", cut);
    json.End('}');
    return Write("request.received", request.rid, {}, out);
  }
  std::string text = fmt::format(" prompt_tokens={} priority={}", request.input_ids.size(),
                                 request.priority.value_or(0));
  if (level_ >= 1) text += SamplingText(request.sampling);
  if (level_ >= 2) text += fmt::format(" input_ids=[{}{}]", ids, cut ? ", ..." : "");
  Write("request.received", request.rid, text, {});
}

void RequestLog::Finished(const End& end) const {
  const std::string problem = end.reason.status.ok() ? std::string() : Message(end.reason.status);
  if (json_) {
    std::string out;
    JsonWriter json(out);
    json.Key("out").Begin('{');
    if (level_ >= 2) json.Field("text", end.output);
    json.Key("meta_info").Begin('{').Field("id", end.rid);
    json.Key("finish_reason").Begin('{').Field("type", FinishName(end.reason));
    if (!problem.empty()) json.Field("message", ValidUtf8(problem));
    json.End('}').Field("prompt_tokens", end.prompt_tokens);
    json.Field("completion_tokens", end.completion_tokens);
    json.Field("cached_tokens", end.cached_tokens).Field("e2e_latency", end.latency.count());
    json.End('}').End('}');
    return Write("request.finished", end.rid, {}, out);
  }
  std::string text = fmt::format(
      " reason={} prompt_tokens={} completion_tokens={} cached_tokens={} e2e_latency={:.3f}",
      FinishName(end.reason), end.prompt_tokens, end.completion_tokens, end.cached_tokens,
      end.latency.count());
  if (!problem.empty()) text += " " + problem;
  if (level_ >= 2) text += " text=" + Quoted(end.output);
  Write("request.finished", end.rid, text, {});
}

}  // namespace banyan::serve
