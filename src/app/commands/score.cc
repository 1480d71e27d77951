// SPDX-License-Identifier: Apache-2.0
// banyan score: JSON lines {input_ids, max_new_tokens, top_logprobs} to the log-probabilities of
// the prompt and of a greedy continuation, through the whole engine. For scripts that check a
// model.
#include <cmath>
#include <future>
#include <limits>
#include <memory>
#include <utility>

#include "app/command.h"
#include "app/engine_flags.h"
#include "app/json_lines.h"
#include "base/fields.h"
#include "base/log.h"
#include "engine/engine.h"

namespace banyan {
namespace {

json::value Number(std::optional<float> logprob) {
  // JSON has no infinity: a token that cannot come has no logprob.
  if (!logprob || !std::isfinite(*logprob)) return nullptr;
  return static_cast<double>(*logprob);
}

json::array Numbers(const std::vector<TokenLogprob>& logprobs) {
  json::array out;
  for (const TokenLogprob& entry : logprobs) out.push_back(Number(entry.logprob));
  return out;
}

StatusOr<GenerateRequest> ParseLine(const json::object& object) {
  Fields fields(object, "line");
  GenerateRequest request;
  for (const int64_t id : fields.Required<std::vector<int64_t>>("input_ids")) {
    if (id < 0 || id > std::numeric_limits<TokenId>::max())
      return InvalidArgument("line: input_ids: {} is no token id", id);
    request.input_ids.push_back(static_cast<TokenId>(id));
  }
  request.sampling.max_new_tokens = fields.Optional<int>("max_new_tokens", 0, {0, 1 << 30});
  request.logprobs.top_n = fields.Optional<int>("top_logprobs", 0, {0, 1 << 30});
  BANYAN_RETURN_IF_ERROR(fields.status());
  if (const auto unread = fields.Unread(); !unread.empty())
    return InvalidArgument("line: {}: unknown key", unread.front());
  request.sampling.temperature = 0;
  request.sampling.ignore_eos = true;
  request.logprobs.enabled = true;
  request.logprobs.prompt_start = 0;
  request.want_text = false;
  request.stream = false;
  return request;
}

StatusOr<json::object> Score(Engine& engine, const json::object& object) {
  BANYAN_ASSIGN_OR_RETURN(GenerateRequest request, ParseLine(object));
  std::promise<GenerateUpdate> promise;
  std::future<GenerateUpdate> last = promise.get_future();
  BANYAN_RETURN_IF_ERROR(
      engine
          .Submit(std::move(request),
                  [&promise](GenerateUpdate update) { promise.set_value(std::move(update)); })
          .status());
  const GenerateUpdate update = last.get();
  if (update.finish->kind == FinishReason::Kind::kAbort) return update.finish->status;

  json::array top;
  for (const TokenLogprob& entry : update.logprobs) {
    json::array best;
    for (const auto& [logprob, id] : entry.top) best.push_back(json::array{Number(logprob), id});
    top.push_back(std::move(best));
  }
  return json::object{{"prompt_logprobs", Numbers(update.prompt_logprobs)},
                      {"output_ids", json::array(update.tokens.begin(), update.tokens.end())},
                      {"output_logprobs", Numbers(update.logprobs)},
                      {"output_top_logprobs", std::move(top)}};
}

Status RunScore(EngineConfig config, const std::string& log_level) {
  BANYAN_RETURN_IF_ERROR(InitLog(log_level));
  BANYAN_ASSIGN_OR_RETURN(const std::vector<std::string> warnings, ReadEnvironment(config));
  for (const std::string& warning : warnings) LogWarning("{}", warning);
  config.skip_tokenizer_init = true;
  BANYAN_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine, Engine::Start(std::move(config)));
  return RunJsonLines([&](const JsonLine& line) { return Score(*engine, line.object); });
}

}  // namespace

void RegisterScore(Commands& commands) {
  commands.push_back(
      {"score", "JSON lines of token ids to log-probabilities and a greedy continuation",
       [](CLI::App& app) -> std::function<Status()> {
         auto config = std::make_shared<EngineConfig>();
         auto log_level = std::make_shared<std::string>("warning");
         AddEngineFlags(app, *config);
         app.add_option("--log-level", *log_level, "debug, info, warning, error (warning)");
         return [=] { return RunScore(*config, *log_level); };
       }});
}

}  // namespace banyan
