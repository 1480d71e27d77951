// SPDX-License-Identifier: Apache-2.0
// banyan bench: how fast it is. Each benchmark is a file of app/commands/bench.
#include <memory>

#include "app/command.h"
#include "app/commands/bench/options.h"

namespace banyan {
namespace {

std::function<Status()> Declare(CLI::App& app) {
  app.require_subcommand(1);
  auto chosen = std::make_shared<std::function<Status()>>();
  const auto add = [&](const char* name, const char* summary, bench::Declare declare) {
    CLI::App* sub = app.add_subcommand(name, summary);
    auto run = declare(*sub);
    sub->callback([chosen, run] { *chosen = run; });
  };
  add("decode", "tokens a second while requests decode", bench::DeclareDecode);
  add("prefill", "prompt tokens a second", bench::DeclarePrefill);
  add("serve", "requests that arrive over time: latencies and throughput", bench::DeclareServe);
  add("overload", "a running server under far more than it can serve", bench::DeclareOverload);
  add("startup", "time until ready", bench::DeclareStartup);
  add("cache", "the prefix tree, and what it costs when nothing is found", bench::DeclareCache);
  add("text", "the tokenizer", bench::DeclareText);
  add("sched", "planning a step, and the host's work around one", bench::DeclareSched);
  return [chosen] { return (*chosen)(); };
}

}  // namespace

void RegisterBench(Commands& commands) { commands.push_back({"bench", "measure speed", Declare}); }

}  // namespace banyan
