// SPDX-License-Identifier: Apache-2.0
// banyan bench serve: requests that arrive over time, by a trace or as a Poisson process, to an
// engine in this process or to a running server: time to first token, time between tokens,
// throughput.
#include <algorithm>
#include <cmath>

#include "app/commands/bench/load.h"
#include "app/commands/bench/report.h"
#include "base/log.h"

namespace banyan::bench {
namespace {

struct ServeOptions : EngineOptions {
  std::string base_url, api_key, trace;
  int requests = 100;
  double rate = std::numeric_limits<double>::infinity();
  bool trace_times = false;
  int input = 243, output = 213;
  int vocab_size = 1000;
  uint64_t seed = 1;
};

void AddPercentiles(Report& report, const std::string& name, std::vector<double> seconds) {
  for (const int p : {50, 90, 99}) {
    report.Figure(fmt::format("{} p{}", name, p), 1e3 * Percentile(seconds, p / 100.0), "ms");
  }
}

// An error when there is nothing to report on: no request came to its end.
Status Summarize(const std::vector<LoadRequest>& requests, const std::vector<LoadResult>& results,
                 Report& report) {
  std::vector<double> first, between, whole;
  double end = 0;
  int64_t prompt_tokens = 0, output_tokens = 0;
  int completed = 0, failed = 0;
  Status failure;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const LoadResult& result = results[i];
    end = std::max(end, result.ended);
    output_tokens += static_cast<int64_t>(result.token_times.size());
    if (!result.status.ok() || result.token_times.empty()) {
      ++failed;
      failure = result.status;
      continue;
    }
    ++completed;
    prompt_tokens += requests[i].prompt_tokens;
    first.push_back(result.token_times.front() - result.sent);
    whole.push_back(result.ended - result.sent);
    for (std::size_t t = 1; t < result.token_times.size(); ++t)
      between.push_back(result.token_times[t] - result.token_times[t - 1]);
  }
  if (completed == 0)
    return failure.ok() ? Internal("no request was answered with a token") : failure;
  if (failed > 0) LogWarning("{} requests failed; the last: {}", failed, Message(failure));
  report.Figure("completed", completed, "requests");
  report.Figure("failed", failed, "requests");
  report.Figure("duration", end, "s");
  report.Figure("requests", completed / end, "1/s");
  report.Figure("prompt tokens", static_cast<double>(prompt_tokens) / end, "tokens/s");
  report.Figure("output tokens", static_cast<double>(output_tokens) / end, "tokens/s");
  AddPercentiles(report, "time to first token", std::move(first));
  AddPercentiles(report, "time between tokens", std::move(between));
  AddPercentiles(report, "whole request", std::move(whole));
  return OkStatus();
}

Status RunServe(ServeOptions options) {
  BANYAN_RETURN_IF_ERROR(InitLog(options.log_level));
  std::vector<LoadRequest> requests;
  if (options.trace.empty()) {
    requests = MakeRequests(options.requests, options.input, options.output, options.seed);
  } else {
    BANYAN_ASSIGN_OR_RETURN(requests, ReadTrace(options.trace, options.requests));
  }
  if (!options.trace_times) {
    if (std::isfinite(options.rate)) {
      SpreadPoisson(requests, options.rate, options.seed);
    } else {
      for (LoadRequest& request : requests) request.at = 0;
    }
  }
  std::unique_ptr<Engine> engine;
  std::unique_ptr<LoadTarget> target;
  if (options.base_url.empty()) {
    if (options.config.max_queued_requests == 0)
      options.config.max_queued_requests = static_cast<int>(requests.size());
    BANYAN_ASSIGN_OR_RETURN(engine, StartEngine(options));
    target = EngineTarget(*engine);
  } else {
    target = HttpTarget(options.base_url, options.api_key, options.vocab_size);
  }
  Report report("serve");
  report.Setting("target", engine ? options.config.model_path : options.base_url);
  report.Setting("arrivals", options.trace_times ? "as in the trace"
                             : std::isfinite(options.rate)
                                 ? fmt::format("{} a second", options.rate)
                                 : "all at once");
  BANYAN_RETURN_IF_ERROR(Summarize(requests, RunLoad(*target, requests, options.seed), report));
  report.Print(options.json);
  return OkStatus();
}

}  // namespace

std::function<Status()> DeclareServe(CLI::App& app) {
  auto options = std::make_shared<ServeOptions>();
  AddEngineOptions(app, *options);
  app.get_option("--model-path")->required(false);
  app.add_option("--base-url", options->base_url, "a running server, http://host:port")
      ->excludes("--model-path");
  app.add_option("--api-key", options->api_key, "of that server");
  app.add_option("--vocab-size", options->vocab_size, "of that server: ids are below it (1000)")
      ->check(CLI::Range(1, 1 << 30));
  app.add_option("--trace", options->trace, "lengths (and times) of requests: .csv or .jsonl");
  app.add_flag("--trace-times", options->trace_times, "send when the trace says");
  app.add_option("--num-requests", options->requests, "at most so many (100)")
      ->check(CLI::Range(1, 1 << 30));
  app.add_option("--request-rate", options->rate, "requests a second (all at once)")
      ->check(CLI::Range(1e-6, 1e9));
  app.add_option("--input-len", options->input, "mean prompt tokens without a trace (243)")
      ->check(CLI::Range(4, 1 << 24));
  app.add_option("--output-len", options->output, "mean output tokens without a trace (213)")
      ->check(CLI::Range(4, 1 << 24));
  app.add_option("--seed", options->seed, "of lengths, times and prompts (1)");
  return [options] { return RunServe(*options); };
}

}  // namespace banyan::bench
