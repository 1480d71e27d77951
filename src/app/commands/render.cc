// SPDX-License-Identifier: Apache-2.0
// render: JSON lines of template variables to {text}; `now` is the clock, ISO 8601.
#include <chrono>
#include <memory>

#include "app/command.h"
#include "app/json_lines.h"
#include "base/fields.h"
#include "engine/text_model.h"
#include "text/model_files.h"

namespace banyan {
namespace {

struct Options {
  std::string model, template_file, template_name;
};

// "2024-07-26", "2024-07-26T12:34:56", with a fraction and a zone that are of no effect: a template
// sees the clock's face.
StatusOr<int64_t> ParseClock(const std::string& text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  char separator = 'T';
  const int read = std::sscanf(text.c_str(), "%4d-%2d-%2d%c%2d:%2d:%2d", &year, &month, &day,
                               &separator, &hour, &minute, &second);
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(day)};
  if ((read != 3 && read != 6 && read != 7) || !date.ok() ||
      (separator != 'T' && separator != ' ') || hour < 0 || hour > 23 || minute < 0 ||
      minute > 59 || second < 0 || second > 59)
    return InvalidArgument("now: \"{}\" is not ISO 8601 (2024-07-26T12:34:56)", text);
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  return int64_t{days} * 86400 + hour * 3600 + minute * 60 + second;
}

Status Run(const Options& options) {
  std::shared_ptr<const text::ChatTemplate> chat_template;
  json::object defaults;
  if (!options.model.empty()) {
    BANYAN_ASSIGN_OR_RETURN(defaults, LoadSpecialTokens(options.model));
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
      BANYAN_ASSIGN_OR_RETURN(now, ParseClock(std::string(View(clock->get_string()))));
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
                        auto options = std::make_shared<Options>();
                        app.add_option("--model,--model-path", options->model,
                                       "folder or .gguf file with a chat template");
                        app.add_option("--template", options->template_file,
                                       "a Jinja file instead");
                        app.add_option("--template-name", options->template_name,
                                       "one of several named templates");
                        return [options] { return Run(*options); };
                      }});
}

}  // namespace banyan
