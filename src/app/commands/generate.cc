// SPDX-License-Identifier: Apache-2.0
// banyan generate: one prompt, from the command line or standard input, streamed to standard
// output.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <future>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "app/command.h"
#include "app/engine_flags.h"
#include "base/log.h"
#include "engine/engine.h"

namespace banyan {
namespace {

struct GenerateOptions {
  EngineConfig config;
  std::string log_level = "warning";
  std::string prompt;
  bool chat = false;
  bool stats = false;
  std::optional<int> max_new_tokens;
  std::optional<float> temperature, top_p, min_p, frequency_penalty, presence_penalty,
      repetition_penalty;
  std::optional<int> top_k;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

void Declare(CLI::App& app, GenerateOptions& options) {
  AddEngineFlags(app, options.config);
  app.add_option("prompt", options.prompt, "the text to go on from; standard input when absent");
  app.add_flag("--chat", options.chat, "the prompt is a user's message: apply the chat template");
  app.add_flag("--stats", options.stats, "print counts and speed to standard error at the end");
  app.add_option("--max-new-tokens", options.max_new_tokens, "at most so many (as many as fit)");
  app.add_option("--temperature", options.temperature, "0: always the likeliest token");
  app.add_option("--top-p", options.top_p, "");
  app.add_option("--top-k", options.top_k, "");
  app.add_option("--min-p", options.min_p, "");
  app.add_option("--frequency-penalty", options.frequency_penalty, "");
  app.add_option("--presence-penalty", options.presence_penalty, "");
  app.add_option("--repetition-penalty", options.repetition_penalty, "");
  app.add_option("--seed", options.seed, "the same seed draws the same tokens");
  app.add_option("--stop", options.stop, "end at this text; may be given several times");
  app.add_flag("--ignore-eos", options.ignore_eos, "go on past the model's end token");
  app.add_option("--log-level", options.log_level, "debug, info, warning, error (warning)");
}

template <typename T>
void Override(T& value, const std::optional<T>& given) {
  if (given) value = *given;
}

SamplingParams Sampling(const GenerateOptions& options, SamplingParams sampling) {
  sampling.max_new_tokens = options.max_new_tokens;
  Override(sampling.temperature, options.temperature);
  Override(sampling.top_p, options.top_p);
  Override(sampling.top_k, options.top_k);
  Override(sampling.min_p, options.min_p);
  Override(sampling.frequency_penalty, options.frequency_penalty);
  Override(sampling.presence_penalty, options.presence_penalty);
  Override(sampling.repetition_penalty, options.repetition_penalty);
  sampling.seed = options.seed;
  sampling.stop = options.stop;
  sampling.ignore_eos = options.ignore_eos;
  return sampling;
}

// The prompt's ids, through the chat template when asked for.
StatusOr<std::vector<TokenId>> Encode(const Engine& engine, const GenerateOptions& options) {
  if (engine.tokenizer() == nullptr)
    return InvalidArgument("generate works on text, and --skip-tokenizer-init leaves no tokenizer");
  if (!options.chat) return engine.tokenizer()->Encode(options.prompt, true);
  if (engine.chat_template() == nullptr)
    return FailedPrecondition("{} has no chat template", options.config.model_path);
  json::object variables = engine.tokenizer()->special_tokens();
  variables["messages"] = json::array{json::object{{"role", "user"}, {"content", options.prompt}}};
  variables["add_generation_prompt"] = true;
  BANYAN_ASSIGN_OR_RETURN(const std::string text,
                          engine.chat_template()->Render(variables, std::nullopt));
  return engine.tokenizer()->Encode(text, false);
}

Status RunGenerate(GenerateOptions options) {
  using Clock = std::chrono::steady_clock;
  BANYAN_RETURN_IF_ERROR(InitLog(options.log_level));
  BANYAN_ASSIGN_OR_RETURN(const std::vector<std::string> warnings, ReadEnvironment(options.config));
  for (const std::string& warning : warnings) LogWarning("{}", warning);
  if (options.prompt.empty()) {
    options.prompt.assign(std::istreambuf_iterator<char>(std::cin), {});
  }
  BANYAN_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, Engine::Start(options.config));

  GenerateRequest request;
  BANYAN_ASSIGN_OR_RETURN(request.input_ids, Encode(*engine, options));
  request.sampling = Sampling(options, engine->default_sampling());
  std::promise<GenerateUpdate> end;
  std::future<GenerateUpdate> ended = end.get_future();
  const auto start = Clock::now();
  Clock::time_point first = start;
  const auto sink = [&](GenerateUpdate update) {
    if (first == start) first = Clock::now();
    std::fwrite(update.text.data(), 1, update.text.size(), stdout);
    std::fflush(stdout);
    if (update.finish) end.set_value(std::move(update));
  };
  BANYAN_RETURN_IF_ERROR(engine->Submit(std::move(request), sink).status());
  const GenerateUpdate last = ended.get();
  const auto stop = Clock::now();
  std::fputc('\n', stdout);
  if (last.finish->kind == FinishReason::Kind::kAbort) return last.finish->status;
  if (options.stats) {
    const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
    std::fputs(fmt::format("prompt: {} tokens, first token after {:.3f} s ({:.1f} tokens/s); "
                           "output: {} tokens, {:.1f} tokens/s\n",
                           last.prompt_tokens, seconds(first - start),
                           last.prompt_tokens / seconds(first - start), last.completion_tokens,
                           (last.completion_tokens - 1) / std::max(1e-9, seconds(stop - first)))
                   .c_str(),
               stderr);
  }
  return OkStatus();
}

}  // namespace

void RegisterGenerate(Commands& commands) {
  commands.push_back({"generate", "continue one prompt and print it as it comes",
                      [](CLI::App& app) -> std::function<Status()> {
                        auto options = std::make_shared<GenerateOptions>();
                        Declare(app, *options);
                        return [options] { return RunGenerate(*options); };
                      }});
}

}  // namespace banyan
