// SPDX-License-Identifier: Apache-2.0
#include "text/chat_template.h"

#include <ctime>
#include <filesystem>
#include <utility>

#include "text/ffi.h"
#include "text/model_files.h"

namespace banyan::text {
namespace {

constexpr int64_t kMaxTemplateFile = int64_t{16} << 20;

struct FreeTemplate {
  void operator()(BtTemplate* parsed) const { bt_template_free(parsed); }
};

// Local time as transformers' datetime.now() has it, in the form of seconds since 1970.
int64_t LocalNow() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return static_cast<int64_t>(now) + local.tm_gmtoff;
}

class FfiTemplate : public ChatTemplate {
 public:
  FfiTemplate(std::unique_ptr<BtTemplate, FreeTemplate> ffi, std::string source)
      : ffi_(std::move(ffi)), source_(std::move(source)) {}

  StatusOr<std::string> Render(const json::object& variables,
                               std::optional<int64_t> now) const override {
    return RenderJson(json::serialize(variables), {}, now);
  }

  StatusOr<std::string> RenderJson(std::string_view variables, const json::object& defaults,
                                   std::optional<int64_t> now) const override {
    const std::string defaults_text = json::serialize(defaults);
    BtBuffer text{}, error{};
    if (bt_template_render(ffi_.get(), ffi::Data(variables), variables.size(),
                           ffi::Data(defaults_text), defaults_text.size(), now.value_or(LocalNow()),
                           &text, &error) != 0)
      return InvalidArgument("chat template: {}", ffi::Take(error));
    return ffi::Take(text);
  }

  const std::string& source() const override { return source_; }

 private:
  std::unique_ptr<BtTemplate, FreeTemplate> ffi_;
  std::string source_;
};

// Of a model with templates named default and tool_use: the latter where there are tools, as
// transformers chooses.
class ByToolsTemplate : public ChatTemplate {
 public:
  ByToolsTemplate(std::shared_ptr<const ChatTemplate> plain,
                  std::shared_ptr<const ChatTemplate> with_tools)
      : plain_(std::move(plain)), with_tools_(std::move(with_tools)) {}

  StatusOr<std::string> Render(const json::object& variables,
                               std::optional<int64_t> now) const override {
    return Choose(variables).Render(variables, now);
  }

  StatusOr<std::string> RenderJson(std::string_view variables, const json::object& defaults,
                                   std::optional<int64_t> now) const override {
    BANYAN_ASSIGN_OR_RETURN(json::object object, ParseJsonObject(variables, "variables"));
    return Choose(object).RenderJson(variables, defaults, now);
  }

  const std::string& source() const override { return plain_->source(); }

 private:
  const ChatTemplate& Choose(const json::object& variables) const {
    const json::value* tools = variables.if_contains("tools");
    return tools && !tools->is_null() ? *with_tools_ : *plain_;
  }

  std::shared_ptr<const ChatTemplate> plain_, with_tools_;
};

// The one of several named templates: [{"name": ..., "template": ...}] or {name: template}.
std::optional<std::string> Named(const json::value& templates, std::string_view name) {
  if (templates.is_string()) {
    if (name == "default") return std::string(View(templates.get_string()));
  } else if (templates.is_object()) {
    const json::value* found = templates.get_object().if_contains(name);
    if (found && found->is_string()) return std::string(View(found->get_string()));
  } else if (templates.is_array()) {
    for (const json::value& entry : templates.get_array()) {
      if (!entry.is_object()) continue;
      const json::value* entry_name = entry.get_object().if_contains("name");
      const json::value* source = entry.get_object().if_contains("template");
      if (entry_name && entry_name->is_string() && View(entry_name->get_string()) == name &&
          source && source->is_string())
        return std::string(View(source->get_string()));
    }
  }
  return std::nullopt;
}

// Templates in files stand for all of the configs'.
bool HasTemplateFiles(const std::string& folder) {
  std::error_code error;
  if (std::filesystem::exists(folder + "/chat_template.jinja", error)) return true;
  for (std::filesystem::directory_iterator at(folder + "/additional_chat_templates", error), end;
       !error && at != end; at.increment(error)) {
    if (at->path().extension() == ".jinja") return true;
  }
  return false;
}

// The template of that name from wherever the folder keeps it; files before configs, as
// transformers reads them.
StatusOr<std::optional<std::string>> FindSource(const std::string& folder, std::string_view name) {
  if (name == "default") {
    BANYAN_ASSIGN_OR_RETURN(auto text,
                            ReadFileIfAny(folder + "/chat_template.jinja", kMaxTemplateFile));
    if (text) return text;
  } else if (name.find('/') == std::string_view::npos) {
    BANYAN_ASSIGN_OR_RETURN(
        auto text, ReadFileIfAny(fmt::format("{}/additional_chat_templates/{}.jinja", folder, name),
                                 kMaxTemplateFile));
    if (text) return text;
  }
  if (HasTemplateFiles(folder)) return std::optional<std::string>();
  for (const char* file : {"/chat_template.json", "/tokenizer_config.json"}) {
    BANYAN_ASSIGN_OR_RETURN(auto text, ReadFileIfAny(folder + file));
    if (!text) continue;
    BANYAN_ASSIGN_OR_RETURN(json::object config, ParseJsonObject(*text, folder + file));
    const json::value* templates = config.if_contains("chat_template");
    if (!templates) continue;
    if (auto source = Named(*templates, name)) return source;
  }
  return std::optional<std::string>();
}

}  // namespace

StatusOr<std::shared_ptr<const ChatTemplate>> ChatTemplate::Compile(std::string_view source) {
  BtTemplate* raw = nullptr;
  BtBuffer error{};
  if (bt_template_new(ffi::Data(source), source.size(), &raw, &error) != 0)
    return InvalidArgument("chat template: {}", ffi::Take(error));
  return std::make_shared<const FfiTemplate>(std::unique_ptr<BtTemplate, FreeTemplate>(raw),
                                             std::string(source));
}

StatusOr<std::shared_ptr<const ChatTemplate>> ChatTemplate::Load(const std::string& folder,
                                                                 std::string_view name) {
  const std::string_view wanted = name.empty() ? "default" : name;
  BANYAN_ASSIGN_OR_RETURN(std::optional<std::string> source, FindSource(folder, wanted));
  if (!source) return NotFound("{}: no chat template named \"{}\"", folder, wanted);
  auto compiled = Compile(*source);
  if (!compiled.ok()) return Annotate(compiled.status(), folder);
  if (!name.empty()) return compiled;
  BANYAN_ASSIGN_OR_RETURN(std::optional<std::string> for_tools, FindSource(folder, "tool_use"));
  if (!for_tools) return compiled;
  auto with_tools = Compile(*for_tools);
  if (!with_tools.ok()) return Annotate(with_tools.status(), folder);
  return std::make_shared<const ByToolsTemplate>(*std::move(compiled), *std::move(with_tools));
}

}  // namespace banyan::text
