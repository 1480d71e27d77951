// SPDX-License-Identifier: Apache-2.0
#include "app/commands/bench/load.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <future>
#include <iomanip>
#include <latch>
#include <list>
#include <mutex>
#include <sstream>
#include <thread>
#include <utility>

#include "base/fields.h"
#include "serve/http_client.h"

namespace banyan::bench {
namespace {

class EngineLoad final : public LoadTarget {
 public:
  explicit EngineLoad(Engine& engine) : engine_(engine) {}
  void Send(std::vector<TokenId> prompt, int output, std::function<void(int)> on_tokens,
            std::function<void(Status)> on_end) override {
    GenerateRequest request = PlainRequest(std::move(prompt), output);
    request.want_text = engine_.tokenizer() != nullptr;
    const auto id = engine_.Submit(std::move(request), [on_tokens, on_end](GenerateUpdate update) {
      if (!update.tokens.empty()) on_tokens(static_cast<int>(update.tokens.size()));
      if (update.finish) on_end(update.finish->status);
    });
    if (!id.ok()) on_end(id.status());
  }
  int vocab_size() const override { return engine_.model().vocab_size; }

 private:
  Engine& engine_;
};

class HttpLoad final : public LoadTarget {
 public:
  HttpLoad(std::string base_url, std::string api_key, int vocab_size)
      : base_url_(std::move(base_url)), api_key_(std::move(api_key)), vocab_size_(vocab_size) {}
  void Send(std::vector<TokenId> prompt, int output, std::function<void(int)> on_tokens,
            std::function<void(Status)> on_end) override {
    const json::object body = {
        {"input_ids", json::array(prompt.begin(), prompt.end())},
        {"stream", true},
        {"sampling_params",
         json::object{{"max_new_tokens", output}, {"temperature", 0}, {"ignore_eos", true}}}};
    serve::ClientRequest request{base_url_ + "/generate", json::serialize(body), api_key_};
    open_.remove_if([](const std::future<void>& one) {
      return one.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    });
    open_.push_back(
        std::async(std::launch::async, [request = std::move(request), on_tokens, on_end] {
          int tokens = 0;
          bool aborted = false;
          serve::EventParser events([&](std::string_view data) {
            const int now = CompletionTokens(data);
            if (now > tokens) on_tokens(now - std::exchange(tokens, now));
            aborted = aborted || data.find(kAbort) != data.npos;
          });
          Status status = serve::Fetch(request, [&](std::string_view part) {
            events.Push(part);
            return true;
          });
          if (status.ok() && aborted) status = Unavailable("the server ended the request");
          on_end(std::move(status));
        }));
  }
  int vocab_size() const override { return vocab_size_; }

 private:
  static constexpr std::string_view kAbort = R"("finish_reason":{"type":"abort")";

  // Found without parsing the event: the client must not cost more than the server.
  static int CompletionTokens(std::string_view data) {
    constexpr std::string_view kKey = "\"completion_tokens\":";
    const std::size_t at = data.find(kKey);
    int value = 0;
    if (at != std::string_view::npos)
      std::from_chars(data.data() + at + kKey.size(), data.data() + data.size(), value);
    return value;
  }

  const std::string base_url_, api_key_;
  const int vocab_size_;
  std::list<std::future<void>> open_;
};

// Seconds of "2023-11-16 18:15:46.6805900".
double ParseTime(const std::string& text) {
  std::tm when{};
  std::istringstream stream(text);
  stream >> std::get_time(&when, "%Y-%m-%d %H:%M:%S");
  double fraction = 0;
  if (stream.peek() == '.') stream >> fraction;
  return static_cast<double>(timegm(&when)) + fraction;
}

StatusOr<LoadRequest> ParseCsv(const std::string& line) {
  std::vector<std::string> fields;
  std::istringstream stream(line);
  for (std::string field; std::getline(stream, field, ',');) fields.push_back(field);
  LoadRequest request;
  const auto number = [](const std::string& text, int& value) {
    return std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc();
  };
  const std::size_t n = fields.size();
  if (n < 2 || n > 3 || !number(fields[n - 2], request.prompt_tokens) ||
      !number(fields[n - 1], request.output_tokens))
    return InvalidArgument("\"{}\" is no row of [time,] prompt tokens, output tokens", line);
  if (n == 3) request.at = ParseTime(fields[0]);
  return request;
}

StatusOr<LoadRequest> ParseJsonRow(const std::string& line) {
  BANYAN_ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(line, "row"));
  Fields fields(object, "row");
  LoadRequest request;
  request.at = fields.Required<double>("timestamp") * 1e-3;
  request.prompt_tokens = fields.Required<int>("input_length");
  request.output_tokens = fields.Required<int>("output_length");
  BANYAN_RETURN_IF_ERROR(fields.status());
  return request;
}

}  // namespace

std::unique_ptr<LoadTarget> EngineTarget(Engine& engine) {
  return std::make_unique<EngineLoad>(engine);
}

std::unique_ptr<LoadTarget> HttpTarget(std::string base_url, std::string api_key, int vocab_size) {
  return std::make_unique<HttpLoad>(std::move(base_url), std::move(api_key), vocab_size);
}

StatusOr<std::vector<LoadRequest>> ReadTrace(const std::string& path, int limit) {
  std::ifstream file(path);
  if (!file) return NotFound("--trace: {} cannot be read", path);
  const bool lines = path.ends_with(".jsonl");
  std::vector<LoadRequest> requests;
  std::string line;
  if (!lines) std::getline(file, line);
  while (static_cast<int>(requests.size()) < limit && std::getline(file, line)) {
    if (line.empty()) continue;
    auto request = lines ? ParseJsonRow(line) : ParseCsv(line);
    if (!request.ok()) return Annotate(request.status(), path);
    request->prompt_tokens = std::max(1, request->prompt_tokens);
    request->output_tokens = std::max(1, request->output_tokens);
    requests.push_back(*request);
  }
  if (requests.empty()) return InvalidArgument("--trace: {} has no rows", path);
  const double first = requests.front().at;
  for (LoadRequest& request : requests) request.at -= first;
  return requests;
}

std::vector<LoadRequest> MakeRequests(int count, int mean_input, int mean_output, uint64_t seed) {
  std::mt19937_64 random(seed);
  constexpr double kSigma = 0.9;
  const auto length = [&](int mean) {
    std::lognormal_distribution<double> draw(std::log(mean) - kSigma * kSigma / 2, kSigma);
    return std::clamp(static_cast<int>(draw(random)), 4, mean * 8);
  };
  std::vector<LoadRequest> requests(count);
  for (LoadRequest& request : requests)
    request = {.prompt_tokens = length(mean_input), .output_tokens = length(mean_output)};
  return requests;
}

void SpreadPoisson(std::vector<LoadRequest>& requests, double rate, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::exponential_distribution<double> gap(rate);
  double at = 0;
  for (LoadRequest& request : requests) {
    request.at = at;
    at += gap(random);
  }
}

std::vector<LoadResult> RunLoad(LoadTarget& target, const std::vector<LoadRequest>& requests,
                                uint64_t seed, const std::function<void(double now)>& tick) {
  std::mt19937_64 random(seed);
  std::vector<std::vector<TokenId>> prompts;
  for (const LoadRequest& request : requests)
    prompts.push_back(RandomPrompt(random, request.prompt_tokens, target.vocab_size()));
  std::vector<LoadResult> results(requests.size());
  std::latch open(static_cast<std::ptrdiff_t>(requests.size()));
  const auto start = Clock::now();
  const auto now = [start] { return Seconds(Clock::now() - start); };
  for (std::size_t i = 0; i < requests.size(); ++i) {
    std::this_thread::sleep_until(start + std::chrono::duration_cast<Clock::duration>(
                                              std::chrono::duration<double>(requests[i].at)));
    if (tick) tick(now());
    LoadResult& result = results[i];
    result.sent = now();
    result.token_times.reserve(requests[i].output_tokens);
    target.Send(
        std::move(prompts[i]), requests[i].output_tokens,
        [&result, now](int tokens) {
          result.token_times.insert(result.token_times.end(), tokens, now());
        },
        [&result, &open, now](Status status) {
          result.ended = now();
          result.status = std::move(status);
          open.count_down();
        });
  }
  open.wait();
  return results;
}

}  // namespace banyan::bench
