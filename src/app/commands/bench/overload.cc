// SPDX-License-Identifier: Apache-2.0
// banyan bench overload: what a running server with bounded queues does when far more is asked of
// it than it can serve. Three loads over HTTP, all open-loop: one beyond it, which tells what it
// serves; half of that, for the time to first token as it should be; then --factor times that for
// --seconds. An error when the last load shows that
// - something was neither served nor refused with 429 and a Retry-After,
// - the server's memory grew by more than 2 % after the first 10 s,
// - the time to first token of those served was over --ttft-factor times the calm one (medians), or
// - the median Retry-After was wrong by more than 2x, or more than a quarter of them were. Right is
//   the time that the queue takes: from the refusal until the last request that was accepted before
//   it has its first token, in whole seconds, as the header has it. (Where few wait, chance alone
//   makes some wrong: of a queue of four that leave at random 19 % take less than half or more than
//   twice as long as the mean.)
#include <algorithm>
#include <cmath>
#include <fstream>

#include "app/commands/bench/load.h"
#include "app/commands/bench/report.h"
#include "base/log.h"
#include "base/retry_after.h"

namespace banyan::bench {
namespace {

constexpr double kSettled = 10;  // seconds, after which memory is to stay
constexpr double kMemoryGrowth = 0.02, kWrongShare = 0.25;

struct OverloadOptions {
  std::string base_url, api_key;
  int pid = 0, vocab_size = 1000, input = 128, output = 64;
  double probe_rate = 50, probe_seconds = 15, seconds = 60, factor = 10, ttft_factor = 10;
  uint64_t seed = 1;
  bool json = false;
};

// Resident memory of a process in MB; 0 when it cannot be read.
double ResidentMegabytes(int pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("VmRSS:")) return std::atof(line.c_str() + 6) * 1e-3;
  }
  return 0;
}

struct Outcome {
  std::vector<LoadResult> results;  // in the order of sending
  std::vector<double> first;        // seconds to the first token, of those served
  int served = 0, refused = 0, without_retry_after = 0, failed = 0;
  double duration = 0;  // until the last end
  Status failure;
};

// `seed`: another for each load, so that no prompt comes twice.
Outcome Offer(LoadTarget& target, const OverloadOptions& options, uint64_t seed, double rate,
              double seconds, const std::function<void(double)>& tick = {}) {
  const int count = std::max(1, static_cast<int>(rate * seconds));
  std::vector<LoadRequest> requests = MakeRequests(count, options.input, options.output, seed);
  SpreadPoisson(requests, rate, seed);
  Outcome out;
  out.results = RunLoad(target, requests, seed, tick);
  for (const LoadResult& result : out.results) {
    out.duration = std::max(out.duration, result.ended);
    if (result.status.code() == StatusCode::kResourceExhausted) {
      ++out.refused;
      out.without_retry_after += !RetryAfter(result.status).has_value();
    } else if (!result.status.ok() || result.token_times.empty()) {
      ++out.failed;
      out.failure = result.status;
    } else {
      ++out.served;
      out.first.push_back(result.token_times.front() - result.sent);
    }
  }
  return out;
}

// Retry-After over the time that the queue took, for each refusal after the first acceptance.
std::vector<double> RetryAfterRatios(const Outcome& outcome) {
  std::vector<double> ratios;
  double last_first_token = 0;
  for (const LoadResult& result : outcome.results) {
    if (result.status.ok() && !result.token_times.empty()) {
      last_first_token = result.token_times.front();
    } else if (const auto said = RetryAfter(result.status); said && last_first_token > 0) {
      ratios.push_back(*said / std::max(1.0, std::ceil(last_first_token - result.sent)));
    }
  }
  return ratios;
}

Status Check(bool good, std::string_view what) {
  return good ? OkStatus() : FailedPrecondition("{}", what);
}

Status Judge(const OverloadOptions& options, const Outcome& calm, const Outcome& loaded,
             std::vector<double> ratios, double growth, Report& report) {
  std::vector<double> before = calm.first, after = loaded.first;
  const double calm_first = Percentile(before, 0.5), first = Percentile(after, 0.5);
  report.Figure("time to first token, calm p50", 1e3 * calm_first, "ms");
  report.Figure("calm p99", 1e3 * Percentile(before, 0.99), "ms");
  report.Figure("overloaded p50", 1e3 * first, "ms", 1e3 * options.ttft_factor * calm_first,
                "the most allowed");
  report.Figure("overloaded p99", 1e3 * Percentile(after, 0.99), "ms");
  const auto wrong = std::count_if(ratios.begin(), ratios.end(),
                                   [](double ratio) { return ratio < 0.5 || ratio > 2; });
  for (const int p : {5, 50, 95})
    report.Figure(fmt::format("Retry-After / time of the queue, p{}", p),
                  Percentile(ratios, p / 100.0), "");
  const double share = static_cast<double>(wrong) / std::max<double>(1, ratios.size());
  report.Figure("wrong by more than 2x", 100 * share, "%", 100 * kWrongShare, "the most allowed");
  if (options.pid != 0)
    report.Figure("memory, growth after 10 s", 100 * growth, "%", 100 * kMemoryGrowth,
                  "the most allowed");
  report.Print(options.json);
  if (loaded.failed > 0)
    return Annotate(loaded.failure, fmt::format("{} requests failed; the last", loaded.failed));
  BANYAN_RETURN_IF_ERROR(Check(loaded.without_retry_after == 0, "a 429 had no Retry-After"));
  BANYAN_RETURN_IF_ERROR(Check(first <= options.ttft_factor * calm_first,
                               "served requests waited too long for their first token"));
  const double median = Percentile(ratios, 0.5);
  BANYAN_RETURN_IF_ERROR(Check(share <= kWrongShare && median >= 0.5 && median <= 2,
                               "Retry-After was wrong too often"));
  return Check(growth <= kMemoryGrowth, "the server's memory grew");
}

Status RunOverload(const OverloadOptions& options) {
  BANYAN_RETURN_IF_ERROR(InitLog("warning"));
  if (options.pid != 0 && ResidentMegabytes(options.pid) == 0)
    return NotFound("--server-pid: there is no process {}", options.pid);
  const std::unique_ptr<LoadTarget> target =
      HttpTarget(options.base_url, options.api_key, options.vocab_size);
  Report report("overload");
  report.Setting("requests",
                 fmt::format("{} tokens in, {} out on average", options.input, options.output));

  const Outcome probe =
      Offer(*target, options, options.seed, options.probe_rate, options.probe_seconds);
  if (probe.served == 0) return probe.failure.ok() ? Internal("nothing was served") : probe.failure;
  if (probe.refused == 0) {
    return FailedPrecondition(
        "the server refused nothing at --probe-rate {}: give a higher one, or the server a shorter "
        "queue (--max-queued-requests)",
        options.probe_rate);
  }
  const double capacity = probe.served / probe.duration;
  report.Figure("capacity", capacity, "requests/s");
  const Outcome calm =
      Offer(*target, options, options.seed + 1, capacity / 2, std::max(20.0, 40 / capacity));
  if (calm.served == 0) return calm.failure;

  double settled = 0, most = 0, looked = -1;
  const auto tick = [&](double now) {
    if (options.pid == 0 || now - looked < 0.5) return;
    looked = now;
    const double memory = ResidentMegabytes(options.pid);
    if (now < kSettled) settled = memory;
    most = std::max(now < kSettled ? 0.0 : most, memory);
  };
  const Outcome loaded =
      Offer(*target, options, options.seed + 2, options.factor * capacity, options.seconds, tick);
  report.Figure("offered", options.factor * capacity, "requests/s");
  report.Figure("served", loaded.served / loaded.duration, "requests/s", capacity, "capacity");
  report.Figure("refused with 429", loaded.refused, "requests");
  report.Figure("failed otherwise", loaded.failed, "requests");
  if (options.pid != 0) report.Figure("memory after 10 s", settled, "MB");
  const double growth = settled > 0 ? most / settled - 1 : 0;
  return Judge(options, calm, loaded, RetryAfterRatios(loaded), growth, report);
}

}  // namespace

std::function<Status()> DeclareOverload(CLI::App& app) {
  auto options = std::make_shared<OverloadOptions>();
  app.add_option("--base-url", options->base_url, "the server, http://host:port")->required();
  app.add_option("--api-key", options->api_key, "of that server");
  app.add_option("--server-pid", options->pid, "its process, to watch its memory");
  app.add_option("--vocab-size", options->vocab_size, "of that server: ids are below it (1000)")
      ->check(CLI::Range(1, 1 << 30));
  app.add_option("--input-len", options->input, "mean prompt tokens (128)")
      ->check(CLI::Range(4, 1 << 24));
  app.add_option("--output-len", options->output, "mean output tokens (64)")
      ->check(CLI::Range(4, 1 << 24));
  app.add_option("--probe-rate", options->probe_rate,
                 "requests a second, more than are served, to find the capacity (50)")
      ->check(CLI::Range(1e-3, 1e6));
  app.add_option("--probe-seconds", options->probe_seconds, "of that (15)")
      ->check(CLI::Range(1.0, 3600.0));
  app.add_option("--factor", options->factor, "of the overload to the capacity (10)")
      ->check(CLI::Range(1.0, 1000.0));
  app.add_option("--seconds", options->seconds, "of the overload (60)")
      ->check(CLI::Range(1.0, 86400.0));
  app.add_option("--ttft-factor", options->ttft_factor,
                 "by which the time to first token may grow (10)")
      ->check(CLI::Range(1.0, 1e6));
  app.add_option("--seed", options->seed, "of times and prompts (1)");
  AddJsonFlag(app, options->json);
  return [options] { return RunOverload(*options); };
}

}  // namespace banyan::bench
