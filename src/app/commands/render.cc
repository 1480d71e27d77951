// SPDX-License-Identifier: Apache-2.0
// render: JSON lines of template variables to {text}; `now` is the clock, ISO 8601.
#include <memory>

#include "app/command.h"
#include "app/iso_clock.h"
#include "app/json_lines.h"
#include "base/fields.h"
#include "engine/text_model.h"
#include "text/model_files.h"

namespace banyan {
namespace {

struct RenderOptions {
  std::string model, template_file, template_name;
};

Status RunRender(const RenderOptions& options) {
  std::shared_ptr<const text::ChatTemplate> chat_template;
  json::object defaults;
  if (!options.model.empty()) {
    BANYAN_ASSIGN_OR_RETURN(defaults, LoadSpecialTokens(options.model));
    // As transformers' apply_chat_template, which sets them whether they are given or not.
    defaults["tools"] = nullptr;
    defaults["documents"] = nullptr;
    defaults["add_generation_prompt"] = false;
  }
  if (!options.template_file.empty()) {
    BANYAN_ASSIGN_OR_RETURN(auto source, text::ReadFileIfAny(options.template_file));
    if (!source) return NotFound("{}: no such file", options.template_file);
    BANYAN_ASSIGN_OR_RETURN(chat_template, text::ChatTemplate::Compile(*source));
  } else if (!options.model.empty()) {
    BANYAN_ASSIGN_OR_RETURN(chat_template, LoadChatTemplate(options.model, options.template_name));
  } else {
    return InvalidArgument("render needs --model or --template");
  }
  return RunJsonLines([&](const JsonLine& line) -> StatusOr<json::object> {
    std::optional<int64_t> now;
    std::string variables(line.text);
    if (const json::value* clock = line.object.if_contains("now")) {
      if (!clock->is_string()) return InvalidArgument("now: expected a string");
      const auto seconds = ParseIsoClock(View(clock->get_string()));
      if (!seconds.ok()) return InvalidArgument("now: {}", Message(seconds.status()));
      now = *seconds;
      variables = WithoutMember(line.text, "now");
    }
    BANYAN_ASSIGN_OR_RETURN(std::string text, chat_template->RenderJson(variables, defaults, now));
    return json::object{{"text", std::move(text)}};
  });
}

}  // namespace

void RegisterRender(Commands& commands) {
  commands.push_back({"render", "chat template variables to the prompt, JSON lines in and out",
                      [](CLI::App& app) -> std::function<Status()> {
                        auto options = std::make_shared<RenderOptions>();
                        app.add_option("--model,--model-path", options->model,
                                       "folder or .gguf file with a chat template");
                        app.add_option("--template", options->template_file,
                                       "a Jinja file instead");
                        app.add_option("--template-name", options->template_name,
                                       "one of several named templates");
                        return [options] { return RunRender(*options); };
                      }});
}

}  // namespace banyan
