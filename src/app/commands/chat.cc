// SPDX-License-Identifier: Apache-2.0
// banyan chat: a conversation in the terminal, with a running server (--url) or with a model loaded
// into this process (--model-path).
#include <unistd.h>

#include <cstdio>
#include <future>
#include <iostream>
#include <memory>
#include <optional>

#include "app/command.h"
#include "app/engine_flags.h"
#include "base/json.h"
#include "base/log.h"
#include "engine/engine.h"
#include "serve/chat_prompt.h"
#include "serve/http_client.h"

namespace banyan {
namespace {

struct ChatOptions {
  EngineConfig config;
  std::string url = "http://127.0.0.1:30000";
  std::string api_key;
  std::string system;
  std::string log_level = "warning";
  std::optional<double> temperature, top_p;
  std::optional<int> max_tokens;
  std::optional<int64_t> seed;
};

void Print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// Somebody who answers a conversation, printing the answer as it comes.
class Partner {
 public:
  virtual ~Partner() = default;
  virtual StatusOr<std::string> Answer(const json::array& messages) = 0;
};

class RemotePartner final : public Partner {
 public:
  explicit RemotePartner(const ChatOptions& options) : options_(options) {}

  StatusOr<std::string> Answer(const json::array& messages) override {
    json::object body{{"messages", messages}, {"stream", true}};
    if (options_.temperature) body["temperature"] = *options_.temperature;
    if (options_.top_p) body["top_p"] = *options_.top_p;
    if (options_.max_tokens) body["max_completion_tokens"] = *options_.max_tokens;
    if (options_.seed) body["seed"] = *options_.seed;
    std::string answer;
    Status failed;
    serve::EventParser events([&](std::string_view data) {
      if (data == "[DONE]") return;
      auto event = ParseJsonObject(data, "event");
      if (!event.ok()) {
        failed = event.status();
        return;
      }
      if (const json::value* error = event->if_contains("error")) {
        failed = Unavailable("{}", json::serialize(*error));
        return;
      }
      boost::system::error_code missing;
      const json::value value(*std::move(event));
      const json::value* text = value.find_pointer("/choices/0/delta/content", missing);
      if (missing || text == nullptr || !text->is_string()) return;
      Print(View(text->get_string()));
      answer += View(text->get_string());
    });
    serve::ClientRequest request{options_.url + "/v1/chat/completions", json::serialize(body),
                                 options_.api_key};
    BANYAN_RETURN_IF_ERROR(serve::Fetch(request, [&](std::string_view bytes) {
      events.Push(bytes);
      return failed.ok();
    }));
    if (!failed.ok()) return failed;
    return answer;
  }

 private:
  const ChatOptions& options_;
};

class LocalPartner final : public Partner {
 public:
  LocalPartner(const ChatOptions& options, std::unique_ptr<Engine> engine)
      : options_(options),
        engine_(std::move(engine)),
        renderer_(engine_->tokenizer(), engine_->chat_template()) {}

  StatusOr<std::string> Answer(const json::array& messages) override {
    serve::ChatInput input;
    input.messages = messages;
    BANYAN_ASSIGN_OR_RETURN(serve::Prompt prompt, renderer_.Render(input));
    GenerateRequest request;
    request.input_ids = std::move(prompt.ids);
    request.sampling = engine_->default_sampling();
    request.sampling.max_new_tokens = options_.max_tokens;
    if (options_.temperature)
      request.sampling.temperature = static_cast<float>(*options_.temperature);
    if (options_.top_p) request.sampling.top_p = static_cast<float>(*options_.top_p);
    if (options_.seed) request.sampling.seed = static_cast<uint64_t>(*options_.seed);
    std::string answer;
    std::promise<Status> ended;
    const auto sink = [&](const GenerateUpdate& update) {
      Print(update.text);
      answer += update.text;
      if (update.finish) ended.set_value(update.finish->status);
    };
    BANYAN_RETURN_IF_ERROR(engine_->Submit(std::move(request), sink).status());
    BANYAN_RETURN_IF_ERROR(ended.get_future().get());
    return answer;
  }

 private:
  const ChatOptions& options_;
  std::unique_ptr<Engine> engine_;
  serve::ChatRenderer renderer_;
};

Status Converse(Partner& partner, const std::string& system) {
  const bool terminal = ::isatty(0) != 0;
  json::array messages;
  auto reset = [&] {
    messages.clear();
    if (!system.empty()) messages.push_back(json::object{{"role", "system"}, {"content", system}});
  };
  reset();
  if (terminal) Print("/reset begins anew, /exit ends.\n");
  std::string line;
  while (true) {
    if (terminal) Print("> ");
    if (!std::getline(std::cin, line) || line == "/exit") break;
    if (line == "/reset") {
      reset();
      continue;
    }
    if (line.empty()) continue;
    messages.push_back(json::object{{"role", "user"}, {"content", line}});
    auto answer = partner.Answer(messages);
    Print("\n");
    if (!answer.ok()) {
      if (!terminal) return answer.status();
      // What was asked can be asked again; the conversation goes on.
      std::fprintf(stderr, "%s\n", Message(answer.status()).c_str());
      messages.pop_back();
      continue;
    }
    messages.push_back(json::object{{"role", "assistant"}, {"content", *answer}});
  }
  return OkStatus();
}

Status RunChat(const ChatOptions& options) {
  if (options.config.model_path.empty()) {
    RemotePartner partner(options);
    return Converse(partner, options.system);
  }
  BANYAN_RETURN_IF_ERROR(InitLog(options.log_level));
  EngineConfig config = options.config;
  BANYAN_ASSIGN_OR_RETURN(const std::vector<std::string> warnings, ReadEnvironment(config));
  for (const std::string& warning : warnings) LogWarning("{}", warning);
  BANYAN_ASSIGN_OR_RETURN(std::unique_ptr<Engine> engine, Engine::Start(config));
  LocalPartner partner(options, std::move(engine));
  return Converse(partner, options.system);
}

}  // namespace

void RegisterChat(Commands& commands) {
  commands.push_back(
      {"chat", "talk to a model in the terminal", [](CLI::App& app) -> std::function<Status()> {
         auto options = std::make_shared<ChatOptions>();
         AddEngineFlags(app, options->config);
         app.get_option("--model-path")->required(false);
         app.add_option("--url", options->url, "a running server, when no --model-path is given");
         app.add_option("--api-key", options->api_key, "the server's key");
         app.add_option("--system", options->system, "the system message");
         app.add_option("--temperature", options->temperature, "0: always the likeliest token");
         app.add_option("--top-p", options->top_p, "share of probability to choose from");
         app.add_option("--max-tokens", options->max_tokens, "longest answer (as long as fits)");
         app.add_option("--seed", options->seed, "the same seed draws the same tokens");
         app.add_option("--log-level", options->log_level, "of the engine (warning)");
         return [options] { return RunChat(*options); };
       }});
}

}  // namespace banyan
