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

// Of a model with several named templates the one that transformers chooses: where there are tools
// the one for them, else the default.
class NamedTemplates : public ChatTemplate {
 public:
  NamedTemplates(std::shared_ptr<const ChatTemplate> plain,
                 std::shared_ptr<const ChatTemplate> with_tools, std::string names)
      : plain_(std::move(plain)), with_tools_(std::move(with_tools)), names_(std::move(names)) {}

  StatusOr<std::string> Render(const json::object& variables,
                               std::optional<int64_t> now) const override {
    BANYAN_ASSIGN_OR_RETURN(const ChatTemplate* const chosen, Choose(variables));
    return chosen->Render(variables, now);
  }

  StatusOr<std::string> RenderJson(std::string_view variables, const json::object& defaults,
                                   std::optional<int64_t> now) const override {
    BANYAN_ASSIGN_OR_RETURN(json::object object, ParseJsonObject(variables, "variables"));
    BANYAN_ASSIGN_OR_RETURN(const ChatTemplate* const chosen, Choose(object));
    return chosen->RenderJson(variables, defaults, now);
  }

  const std::string& source() const override {
    static const std::string none;
    return plain_ ? plain_->source() : with_tools_ ? with_tools_->source() : none;
  }

 private:
  StatusOr<const ChatTemplate*> Choose(const json::object& variables) const {
    const json::value* tools = variables.if_contains("tools");
    if (with_tools_ && tools && !tools->is_null()) return with_tools_.get();
    if (plain_) return plain_.get();
    return InvalidArgument(
        "this model has several chat templates, none of which is named \"default\"; the server can "
        "be told to use one by --hf-chat-template-name: {}",
        names_);
  }

  const std::shared_ptr<const ChatTemplate> plain_, with_tools_;
  const std::string names_;
};

// What a config's chat_template holds: the default's text, [{"name": ..., "template": ...}] or
// {name: template}. Of two with one name the later counts.
TemplateSources ConfigSources(const json::value& templates) {
  TemplateSources sources;
  const auto add = [&](std::string_view name, const json::value* source) {
    if (source && source->is_string())
      sources.insert_or_assign(std::string(name), std::string(View(source->get_string())));
  };
  if (templates.is_string()) {
    add("default", &templates);
  } else if (templates.is_object()) {
    for (const auto& item : templates.get_object())
      add({item.key().data(), item.key().size()}, &item.value());
  } else if (templates.is_array()) {
    for (const json::value& entry : templates.get_array()) {
      const json::value* name =
          entry.is_object() ? entry.get_object().if_contains("name") : nullptr;
      if (name && name->is_string())
        add(View(name->get_string()), entry.get_object().if_contains("template"));
    }
  }
  return sources;
}

StatusOr<TemplateSources> TemplateFiles(const std::string& folder) {
  TemplateSources sources;
  BANYAN_ASSIGN_OR_RETURN(auto text,
                          ReadFileIfAny(folder + "/chat_template.jinja", kMaxTemplateFile));
  if (text) sources.emplace("default", *std::move(text));
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder + "/additional_chat_templates", error), end;
       !error && at != end; at.increment(error)) {
    if (at->path().extension() != ".jinja") continue;
    BANYAN_ASSIGN_OR_RETURN(text, ReadFileIfAny(at->path().string(), kMaxTemplateFile));
    if (text) sources.emplace(at->path().stem().string(), *std::move(text));
  }
  return sources;
}

// From wherever the folder keeps them; files stand for all of the configs', as transformers reads
// them.
StatusOr<TemplateSources> FolderSources(const std::string& folder) {
  BANYAN_ASSIGN_OR_RETURN(TemplateSources sources, TemplateFiles(folder));
  if (!sources.empty()) return sources;
  for (const char* file : {"/chat_template.json", "/tokenizer_config.json"}) {
    BANYAN_ASSIGN_OR_RETURN(auto text, ReadFileIfAny(folder + file));
    if (!text) continue;
    BANYAN_ASSIGN_OR_RETURN(json::object config, ParseJsonObject(*text, folder + file));
    if (const json::value* found = config.if_contains("chat_template"))
      sources.merge(ConfigSources(*found));
  }
  return sources;
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

StatusOr<std::shared_ptr<const ChatTemplate>> ChatTemplate::Choose(const TemplateSources& sources,
                                                                   std::string_view name) {
  if (sources.empty()) return NotFound("there is no chat template");
  std::string names;
  for (const auto& [other, source] : sources) {
    if (!names.empty()) names += ", ";
    names += other;
  }
  if (!name.empty()) {
    const auto found = sources.find(name);
    if (found != sources.end()) return Compile(found->second);
    return NotFound("there is no chat template named \"{}\", but: {}", name, names);
  }
  std::shared_ptr<const ChatTemplate> plain, with_tools;
  if (const auto found = sources.find("default"); found != sources.end()) {
    BANYAN_ASSIGN_OR_RETURN(plain, Compile(found->second));
  }
  if (const auto found = sources.find("tool_use"); found != sources.end()) {
    BANYAN_ASSIGN_OR_RETURN(with_tools, Compile(found->second));
  }
  if (plain && !with_tools) return plain;
  return std::make_shared<const NamedTemplates>(std::move(plain), std::move(with_tools),
                                                std::move(names));
}

StatusOr<std::shared_ptr<const ChatTemplate>> ChatTemplate::Load(const std::string& folder,
                                                                 std::string_view name) {
  BANYAN_ASSIGN_OR_RETURN(const TemplateSources sources, FolderSources(folder));
  auto chosen = Choose(sources, name);
  if (!chosen.ok()) return Annotate(chosen.status(), folder);
  return chosen;
}

}  // namespace banyan::text
