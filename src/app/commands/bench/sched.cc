// SPDX-License-Identifier: Apache-2.0
// banyan bench sched: the time to plan one step with many requests, and all of the host's work
// around one decode step (planning, book-keeping, detokenizing, streaming) measured as processor
// time over an engine without a model.
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <latch>

#include "app/commands/bench/options.h"
#include "app/commands/bench/report.h"
#include "base/log.h"
#include "sched/scheduler.h"

namespace banyan::bench {
namespace {

struct SchedOptions {
  int running = 256, waiting = 10000;
  std::string policy;  // empty: all of them
  int batch = 64;
  int output = 2000;
  bool json = false;
};

double ProcessorSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Every sampling row gets one more token.
StepOutcome Answer(const StepPlan& plan) {
  StepOutcome outcome;
  outcome.number = plan.number;
  for (const Span& span : plan.spans) {
    RowOutcome& row = outcome.rows.emplace_back();
    row.row = span.row;
    if (span.sample) row.accepted = {5};
  }
  return outcome;
}

struct Planning {
  double median = 0, p99 = 0;  // microseconds
};

// Of one Step call, in processor time, while `running` rows decode and `waiting` requests wait;
// with `churn`, about one row ends in each step and another begins.
StatusOr<Planning> PlanningTime(const SchedOptions& options, const std::string& policy,
                                bool churn) {
  constexpr int kPrompt = 64, kSteps = 400, kWarmUp = 50;
  SchedulerConfig config;
  config.groups = {CacheGroupSpec{.name = "full"}};
  config.pages_per_group = {int64_t{options.running} * 64};
  config.page_size = 16;
  config.max_running = options.running;
  config.max_length = 1024;
  config.chunked_prefill_size = -1;
  config.max_prefill_tokens = options.running * kPrompt;
  config.schedule_conservativeness = 0;
  config.policy = policy;
  BANYAN_ASSIGN_OR_RETURN(const std::unique_ptr<Scheduler> scheduler, Scheduler::Create(config));
  std::mt19937_64 random(5);
  SchedulerInput input;
  for (int i = 0; i < options.running + options.waiting; ++i) {
    Arrival& arrival = input.arrivals.emplace_back();
    arrival.id = i + 1;
    // Some begin alike, so that the cache has something to say.
    std::mt19937_64 trunk(random() % 100);
    arrival.prompt = RandomPrompt(trunk, kPrompt / 2, 50000);
    for (const TokenId token : RandomPrompt(random, kPrompt / 2, 50000))
      arrival.prompt.push_back(token);
    arrival.routing_key = std::to_string(random() % 100);
    arrival.sampling.max_new_tokens = churn ? static_cast<int>(1 + random() % 512) : 900;
  }
  std::vector<double> times;
  for (int step = 0; step < kSteps; ++step) {
    input.now = Clock::now();
    const double start = ThreadSeconds();
    SchedulerOutput output = scheduler->Step(std::move(input));
    if (step >= kWarmUp) times.push_back(1e6 * (ThreadSeconds() - start));
    input = SchedulerInput();
    if (!output.plan) return Internal("the scheduler made no plan at step {}", step);
    input.outcomes.push_back(Answer(*output.plan));
  }
  if (!churn && scheduler->stats().running != options.running)
    LogWarning("{} requests ran, not {}", scheduler->stats().running, options.running);
  return Planning{Percentile(times, 0.5), Percentile(times, 0.99)};
}

// Microseconds of processor time, and of time, of one decode step of the echo engine.
StatusOr<std::pair<double, double>> HostWork(const SchedOptions& options) {
  EngineConfig config;
  config.model_path = kEchoModel;
  config.max_running_requests = options.batch;
  config.decode_log_interval = 1 << 30;
  BANYAN_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, Engine::Start(config));
  std::latch first(options.batch), last(options.batch);
  std::atomic<int64_t> bytes{0};
  for (int i = 0; i < options.batch; ++i) {
    GenerateRequest request = PlainRequest({static_cast<TokenId>('a' + i % 26)}, options.output);
    request.want_text = true;
    BANYAN_RETURN_IF_ERROR(engine
                               ->Submit(std::move(request),
                                        [&, started = false](GenerateUpdate update) mutable {
                                          bytes += static_cast<int64_t>(update.text.size());
                                          if (!std::exchange(started, true)) first.count_down();
                                          if (update.finish) last.count_down();
                                        })
                               .status());
  }
  first.wait();
  const double used = ProcessorSeconds();
  const auto start = Clock::now();
  last.wait();
  const double steps = options.output - 1;
  return std::pair(1e6 * (ProcessorSeconds() - used) / steps,
                   1e6 * Seconds(Clock::now() - start) / steps);
}

Status RunSched(const SchedOptions& options) {
  BANYAN_RETURN_IF_ERROR(InitLog("warning"));
  Report report("sched");
  report.Setting("requests",
                 fmt::format("{} running, {} waiting", options.running, options.waiting));
  std::vector<std::string> policies = {options.policy};
  if (options.policy.empty())
    policies = {"fcfs", "lpm", "dfs-weight", "lof", "random", "routing-key"};
  for (const std::string& policy : policies) {
    BANYAN_ASSIGN_OR_RETURN(const Planning still, PlanningTime(options, policy, false));
    BANYAN_ASSIGN_OR_RETURN(const Planning churn, PlanningTime(options, policy, true));
    report.Figure(fmt::format("one step, {}, all rows decode", policy), still.median, "us");
    report.Figure(fmt::format("one step, {}, rows end and begin", policy), churn.median, "us");
    report.Figure(fmt::format("the same, 99th percentile", policy), churn.p99, "us");
  }
  BANYAN_ASSIGN_OR_RETURN(const auto host, HostWork(options));
  report.Figure(fmt::format("host work of a decode step, batch {}", options.batch), host.first,
                "us of processor time");
  report.Figure("the same step, end to end", host.second, "us");
  report.Print(options.json);
  return OkStatus();
}

}  // namespace

std::function<Status()> DeclareSched(CLI::App& app) {
  auto options = std::make_shared<SchedOptions>();
  app.add_option("--running", options->running, "rows (256)")->check(CLI::Range(1, 1 << 16));
  app.add_option("--waiting", options->waiting, "requests waiting (10000)")
      ->check(CLI::Range(0, 1 << 24));
  app.add_option("--schedule-policy", options->policy, "order of the waiting queue (each in turn)");
  app.add_option("--batch-size", options->batch, "rows of the decode step (64)")
      ->check(CLI::Range(1, 1 << 12));
  app.add_option("--output-len", options->output, "steps to measure over (2000)")
      ->check(CLI::Range(2, 30000));
  AddJsonFlag(app, options->json);
  return [options] { return RunSched(*options); };
}

}  // namespace banyan::bench
