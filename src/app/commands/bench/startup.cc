// SPDX-License-Identifier: Apache-2.0
// banyan bench startup: from the start of a process to an engine that is ready, its phases, and the
// first token after it. Each start is a process of its own, as a user's is: this program again,
// with --once. Files are in the page cache from the second start on.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <future>
#include <iterator>
#include <utility>

#include "app/commands/bench/options.h"
#include "app/commands/bench/report.h"
#include "base/json.h"

namespace banyan::bench {
namespace {

constexpr char kReady[] = "ready\n";

struct StartupOptions : EngineOptions {
  int repeats = 5;
  bool once = false;
};

struct Started {
  double ready = 0;  // milliseconds, as all here
  double first_token = 0;
  std::vector<std::pair<std::string, double>> phases;
};

// One start in this process. Says when it is ready, and then what there is to say of it.
Status Once(const StartupOptions& options) {
  json::object phases;
  const auto on_phase = [&](std::string_view name, double seconds) {
    phases[name] = 1e3 * seconds;
  };
  BANYAN_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, StartEngine(options, on_phase));
  std::fputs(kReady, stdout);
  std::fflush(stdout);
  std::promise<Status> end;
  const auto submitted = Clock::now();
  BANYAN_RETURN_IF_ERROR(engine
                             ->Submit(PlainRequest({1, 2, 3, 4}, 1),
                                      [&end](GenerateUpdate update) {
                                        if (update.finish) end.set_value(update.finish->status);
                                      })
                             .status());
  BANYAN_RETURN_IF_ERROR(end.get_future().get());
  const double first_token = 1e3 * Seconds(Clock::now() - submitted);
  const json::object said{{"phases", std::move(phases)}, {"first_token", first_token}};
  std::fputs((json::serialize(said) + "\n").c_str(), stdout);
  return OkStatus();
}

// This process's arguments and --once.
std::vector<std::string> OnceArguments() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> arguments;
  for (std::string argument; std::getline(file, argument, '\0');) arguments.push_back(argument);
  arguments.emplace_back("--once");
  return arguments;
}

StatusOr<Started> StartProcess(std::vector<std::string> arguments) {
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Internal("no pipe: {}", std::strerror(errno));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  Started started;
  const auto start = Clock::now();
  pid_t child = 0;
  const int error = posix_spawn(&child, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string said;
  char part[4096];
  for (ssize_t size; error == 0 && (size = read(ends[0], part, sizeof part)) > 0;) {
    said.append(part, static_cast<std::size_t>(size));
    if (started.ready == 0 && said.starts_with(kReady))
      started.ready = 1e3 * Seconds(Clock::now() - start);
  }
  close(ends[0]);
  if (error != 0) return Internal("cannot start a process: {}", std::strerror(error));
  int code = 0;
  waitpid(child, &code, 0);
  if (code != 0 || !said.starts_with(kReady)) return Internal("the process started for it failed");
  BANYAN_ASSIGN_OR_RETURN(const json::object object,
                          ParseJsonObject(said.substr(sizeof kReady - 1), "its words"));
  started.first_token = object.at("first_token").to_number<double>();
  for (const auto& phase : object.at("phases").as_object())
    started.phases.emplace_back(phase.key(), phase.value().to_number<double>());
  return started;
}

Status RunStartup(const StartupOptions& options) {
  if (options.once) return Once(options);
  std::vector<double> ready, first;
  std::vector<std::pair<std::string, std::vector<double>>> phases;
  for (int i = 0; i < options.repeats; ++i) {
    BANYAN_ASSIGN_OR_RETURN(const Started started, StartProcess(OnceArguments()));
    ready.push_back(started.ready);
    first.push_back(started.first_token);
    for (const auto& [name, value] : started.phases) {
      auto phase = std::find_if(phases.begin(), phases.end(),
                                [&name = name](const auto& known) { return known.first == name; });
      if (phase == phases.end()) phase = phases.insert(phases.end(), {name, {}});
      phase->second.push_back(value);
    }
  }
  Report report("startup");
  report.Setting("model", options.config.model_path);
  report.Setting("starts", fmt::format("{}, a process each", options.repeats));
  report.Figure("ready, first time", ready.front(), "ms");
  report.Figure("ready, median", Percentile(ready, 0.5), "ms");
  report.Figure("ready, best", Percentile(ready, 0), "ms");
  for (auto& [name, values] : phases)
    report.Figure(fmt::format("  {}, median", name), Percentile(values, 0.5), "ms");
  report.Figure("first token after it, first time", first.front(), "ms");
  report.Figure("first token after it, median", Percentile(first, 0.5), "ms");
  report.Print(options.json);
  return OkStatus();
}

}  // namespace

std::function<Status()> DeclareStartup(CLI::App& app) {
  auto options = std::make_shared<StartupOptions>();
  AddEngineOptions(app, *options);
  app.add_option("--repeats", options->repeats, "starts (5)")->check(CLI::Range(1, 1000));
  app.add_flag("--once", options->once)->group("");  // what each process is started with
  return [options] { return RunStartup(*options); };
}

}  // namespace banyan::bench
