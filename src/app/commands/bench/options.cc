// SPDX-License-Identifier: Apache-2.0
#include "app/commands/bench/options.h"

#include <ctime>
#include <future>
#include <utility>

#include "app/engine_flags.h"
#include "base/log.h"

namespace banyan::bench {

void AddJsonFlag(CLI::App& app, bool& json) {
  app.add_flag("--json", json, "print JSON instead of a table");
}

void AddEngineOptions(CLI::App& app, EngineOptions& options) {
  AddEngineFlags(app, options.config);
  app.add_option("--log-level", options.log_level, "debug, info, warning, error (warning)");
  AddJsonFlag(app, options.json);
}

double ThreadSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

StatusOr<std::unique_ptr<Engine>> StartEngine(const EngineOptions& options, PhaseSink on_phase) {
  BANYAN_RETURN_IF_ERROR(InitLog(options.log_level));
  EngineConfig config = options.config;
  BANYAN_RETURN_IF_ERROR(ReadEnvironment(config).status());
  return Engine::Start(std::move(config), std::move(on_phase));
}

std::vector<TokenId> RandomPrompt(std::mt19937_64& random, int length, int vocab_size) {
  std::vector<TokenId> ids(length);
  for (TokenId& id : ids) id = static_cast<TokenId>(random() % vocab_size);
  return ids;
}

GenerateRequest PlainRequest(std::vector<TokenId> prompt, int output) {
  GenerateRequest request;
  request.input_ids = std::move(prompt);
  request.sampling.max_new_tokens = output;
  request.sampling.temperature = 0;
  request.sampling.ignore_eos = true;
  request.want_text = false;
  return request;
}

StatusOr<double> PrefillSeconds(Engine& engine, std::vector<TokenId> prompt) {
  std::promise<Status> end;
  const auto start = Clock::now();
  BANYAN_RETURN_IF_ERROR(engine
                             .Submit(PlainRequest(std::move(prompt), 1),
                                     [&end](GenerateUpdate update) {
                                       if (update.finish) end.set_value(update.finish->status);
                                     })
                             .status());
  BANYAN_RETURN_IF_ERROR(end.get_future().get());
  return Seconds(Clock::now() - start);
}

}  // namespace banyan::bench
