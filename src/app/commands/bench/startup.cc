// SPDX-License-Identifier: Apache-2.0
// banyan bench startup: from nothing to ready, and the first token after it, a few times in one
// process. Files are in the page cache from the second time on.
#include <algorithm>
#include <future>

#include "app/commands/bench/options.h"
#include "app/commands/bench/report.h"

namespace banyan::bench {
namespace {

struct Options : EngineOptions {
  int repeats = 5;
};

Status Run(const Options& options) {
  std::vector<double> ready, first;
  for (int i = 0; i < options.repeats; ++i) {
    const auto start = Clock::now();
    BANYAN_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, StartEngine(options));
    ready.push_back(1e3 * Seconds(Clock::now() - start));
    std::promise<Status> end;
    const auto submitted = Clock::now();
    BANYAN_RETURN_IF_ERROR(engine
                               ->Submit(PlainRequest({1, 2, 3, 4}, 1),
                                        [&end](GenerateUpdate update) {
                                          if (update.finish) end.set_value(update.finish->status);
                                        })
                               .status());
    BANYAN_RETURN_IF_ERROR(end.get_future().get());
    first.push_back(1e3 * Seconds(Clock::now() - submitted));
  }
  Report report("startup");
  report.Setting("model", options.config.model_path);
  report.Figure("ready, first time", ready.front(), "ms");
  report.Figure("first token after it, first time", first.front(), "ms");
  report.Figure("ready, median", Percentile(ready, 0.5), "ms");
  report.Figure("first token after it, median", Percentile(first, 0.5), "ms");
  report.Print(options.json);
  return OkStatus();
}

}  // namespace

std::function<Status()> DeclareStartup(CLI::App& app) {
  auto options = std::make_shared<Options>();
  AddEngineOptions(app, *options);
  app.add_option("--repeats", options->repeats, "starts (5)")->check(CLI::Range(1, 1000));
  return [options] { return Run(*options); };
}

}  // namespace banyan::bench
