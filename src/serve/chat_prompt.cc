// SPDX-License-Identifier: Apache-2.0
#include "serve/chat_prompt.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

#include "absl/strings/ascii.h"

namespace banyan::serve {
namespace {

constexpr std::array kRoles = {"system", "developer", "user", "assistant", "tool", "function"};
// OpenAI's and SGLang's together.
constexpr std::array<std::string_view, 7> kEfforts = {"none", "minimal", "low", "medium",
                                                      "high", "xhigh",   "max"};

bool IsTextPart(const json::value& part) {
  if (!part.is_object()) return false;
  const json::value* type = part.get_object().if_contains("type");
  const json::value* text = part.get_object().if_contains("text");
  return type != nullptr && type->is_string() && View(type->get_string()) == "text" &&
         text != nullptr && text->is_string();
}

std::string PartProblem(const json::value& part) {
  if (!part.is_object()) return fmt::format("expected an object, found {}", JsonTypeName(part));
  const json::value* type = part.get_object().if_contains("type");
  if (type == nullptr || !type->is_string()) return "its 'type' is missing";
  if (View(type->get_string()) == "text") return "its 'text' is missing or no string";
  return fmt::format("of type '{}' is not supported: this model reads text only",
                     View(type->get_string()));
}

// OpenAI's history carries arguments as JSON text; templates print them as objects.
std::string DecodeToolCalls(json::value& calls) {
  if (!calls.is_array()) return "'tool_calls' is not a list";
  for (json::value& call : calls.get_array()) {
    if (!call.is_object()) return "'tool_calls' holds something that is not an object";
    json::value* function = call.get_object().if_contains("function");
    if (function == nullptr || !function->is_object()) return "a tool call has no 'function'";
    json::value* name = function->get_object().if_contains("name");
    if (name == nullptr || !name->is_string()) return "a tool call's function has no 'name'";
    json::value* arguments = function->get_object().if_contains("arguments");
    if (arguments == nullptr || !arguments->is_string()) continue;
    if (arguments->get_string().empty()) {
      *arguments = json::object();
      continue;
    }
    auto decoded = ParseJson(View(arguments->get_string()));
    if (!decoded.ok())
      return fmt::format("arguments of the call of '{}' are {}", View(name->get_string()),
                         Message(decoded.status()));
    *arguments = *std::move(decoded);
  }
  return {};
}

// OpenAI's form, which templates are written for: {"type": "function", "function": {"name": ...}}.
std::string ToolProblem(const json::value& tool) {
  if (!tool.is_object()) return fmt::format("expected an object, found {}", JsonTypeName(tool));
  const json::value* type = tool.get_object().if_contains("type");
  if (type == nullptr || !type->is_string()) return "its 'type' is missing";
  if (View(type->get_string()) != "function")
    return fmt::format("tools of type '{}' are not supported", View(type->get_string()));
  const json::value* function = tool.get_object().if_contains("function");
  if (function == nullptr || !function->is_object()) return "its 'function' is missing";
  const json::value* name = function->get_object().if_contains("name");
  if (name == nullptr || !name->is_string()) return "its function has no 'name'";
  return {};
}

std::string_view ToolName(const json::value& tool) {
  return View(tool.at("function").at("name").get_string());
}

// The name that 'tool_choice' asks for when it is an object.
std::optional<std::string_view> ChosenName(const json::value& choice) {
  if (!choice.is_object() || !ToolProblem(choice).empty()) return std::nullopt;
  return ToolName(choice);
}

// Empty when `message` is a chat message, brought into the template's form; else what is wrong.
std::string CheckMessage(json::value& value) {
  if (!value.is_object()) return fmt::format("expected an object, found {}", JsonTypeName(value));
  json::object& message = value.get_object();
  json::value* role = message.if_contains("role");
  if (role == nullptr || !role->is_string()) return "'role' is missing";
  std::string name(View(role->get_string()));
  absl::AsciiStrToLower(&name);  // in any case, as for SGLang
  if (std::find(kRoles.begin(), kRoles.end(), name) == kRoles.end())
    return fmt::format("role '{}' is none of system, developer, user, assistant, tool, function",
                       View(role->get_string()));
  *role = name;

  if (json::value* content = message.if_contains("content");
      content != nullptr && content->is_null() && name == "assistant") {
    *content = "";
  }
  // Absent and null are the same to templates, which test what is there. The order stays: some
  // print whole messages.
  for (auto item = message.begin(); item != message.end();)
    item = item->value().is_null() ? message.stable_erase(item) : item + 1;

  if (json::value* calls = message.if_contains("tool_calls")) {
    if (std::string problem = DecodeToolCalls(*calls); !problem.empty()) return problem;
    if (calls->get_array().empty()) message.stable_erase(message.find("tool_calls"));
  }
  json::value* content = message.if_contains("content");
  if (content == nullptr) {
    if (name != "assistant") return "'content' is missing";
    message["content"] = "";
    return {};
  }
  if (content->is_string()) return {};
  if (!content->is_array())
    return fmt::format("'content' is neither a string nor a list, but {}", JsonTypeName(*content));
  const json::array& parts = content->get_array();
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (!IsTextPart(parts[i])) return fmt::format("content[{}] {}", i, PartProblem(parts[i]));
  return {};
}

// The texts of a list of parts, as one string: a space between any two, also of an empty one.
std::string JoinParts(const json::array& parts) {
  std::string joined;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) joined += ' ';
    joined += View(parts[i].get_object().at("text").get_string());
  }
  return joined;
}

bool IsWord(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// The statement's words and punctuation, strings kept whole.
std::vector<std::string> Words(std::string_view statement) {
  std::vector<std::string> words;
  for (std::size_t i = 0; i < statement.size();) {
    const char c = statement[i];
    std::size_t end = i + 1;
    if (c == '\'' || c == '"') {
      end = statement.find(c, i + 1);
      end = end == std::string_view::npos ? statement.size() : end + 1;
      words.push_back('"' + std::string(statement.substr(i + 1, end - i - 2)) + '"');
    } else if (IsWord(c)) {
      while (end < statement.size() && IsWord(statement[end])) ++end;
      words.emplace_back(statement.substr(i, end - i));
    } else if (!std::isspace(static_cast<unsigned char>(c))) {
      words.emplace_back(1, c);
    }
    i = end;
  }
  return words;
}

// X['content'], X.content or a name that was set to one of those, filters and slices allowed after.
bool IsContent(const std::vector<std::string>& words, std::size_t at,
               const std::set<std::string>& names) {
  if (at >= words.size()) return false;
  if (names.count(words[at]) != 0) return true;
  for (std::size_t i = at + 1; i + 1 < words.size(); ++i) {
    if (words[i] == "[" && words[i + 1] == "\"content\"") return true;
    if (words[i] == "." && words[i + 1] == "content") return true;
    if (words[i] == "|" || words[i] == "if" || words[i] == "in") return false;
  }
  return false;
}

}  // namespace

bool TemplateWantsParts(std::string_view source) {
  std::set<std::string> names;
  for (std::size_t at = source.find("{%"); at != std::string_view::npos;
       at = source.find("{%", at + 2)) {
    const std::size_t end = source.find("%}", at);
    if (end == std::string_view::npos) break;
    const std::vector<std::string> words = Words(source.substr(at + 2, end - at - 2));
    std::size_t first = !words.empty() && (words[0] == "-" || words[0] == "+") ? 1 : 0;
    if (first + 3 >= words.size()) continue;
    if (words[first] == "set" && words[first + 2] == "=" && IsContent(words, first + 3, names))
      names.insert(words[first + 1]);
    if (words[first] == "for") {
      const auto in = std::find(words.begin(), words.end(), "in");
      if (in != words.end() && IsContent(words, in - words.begin() + 1, names)) return true;
    }
  }
  return false;
}

void ReadChatInput(Fields& fields, ChatInput& input) {
  input.template_kwargs = fields.Optional<json::object>("chat_template_kwargs", {});
  for (const char* name : {"messages", "tools"})
    if (input.template_kwargs.contains(name))
      fields.Fail("chat_template_kwargs", fmt::format("holds '{}', a field of its own", name));
  if (auto effort = fields.Maybe<std::string>("reasoning_effort")) {
    if (std::find(kEfforts.begin(), kEfforts.end(), *effort) == kEfforts.end())
      fields.Fail("reasoning_effort",
                  fmt::format("'{}' is none of {}", *effort, fmt::join(kEfforts, ", ")));
    // What templates of reasoning models ask for, by any of its names, unless said outright.
    const bool think = *effort != "none";
    if (!input.template_kwargs.contains("reasoning_effort"))
      input.template_kwargs["reasoning_effort"] = *effort;
    for (const char* name : {"thinking", "enable_thinking"})
      if (!input.template_kwargs.contains(name)) input.template_kwargs[name] = think;
  }
  input.continue_final = fields.Optional<bool>("continue_final_message", false);

  const json::value* messages = fields.Raw("messages");
  if (messages == nullptr) return fields.Fail("messages", "is missing");
  if (!messages->is_array() || messages->get_array().empty())
    return fields.Fail("messages", "must be a list of at least one message");
  input.messages = messages->get_array();
  for (std::size_t i = 0; i < input.messages.size(); ++i) {
    if (std::string problem = CheckMessage(input.messages[i]); !problem.empty())
      return fields.Fail("messages", fmt::format("[{}]: {}", i, problem));
  }
  if (input.continue_final) {
    const json::object& last = input.messages.back().get_object();
    if (View(last.at("role").get_string()) != "assistant")
      fields.Fail("continue_final_message", "needs a last message of the role assistant");
    for (const char* name : {"tool_calls", "reasoning_content", "reasoning", "thinking"}) {
      const json::value* value = last.if_contains(name);
      if (value == nullptr || (value->is_string() && value->get_string().empty())) continue;
      fields.Fail(
          "continue_final_message",
          fmt::format("goes on from a 'content' alone, and the last message has '{}'", name));
    }
  }
}

void ReadTools(Fields& fields, ChatInput& input) {
  const json::value* tools = fields.Raw("tools");
  const json::value* choice = fields.Raw("tool_choice");
  if (tools != nullptr) {
    if (!tools->is_array()) return fields.Fail("tools", "is not a list");
    input.tools = tools->get_array();
    for (std::size_t i = 0; i < input.tools.size(); ++i) {
      if (std::string problem = ToolProblem(input.tools[i]); !problem.empty())
        return fields.Fail("tools", fmt::format("[{}]: {}", i, problem));
    }
  }
  if (choice == nullptr) return;
  if (choice->is_string()) {
    const std::string_view name = View(choice->get_string());
    if (name == "none") {
      input.tools.clear();
    } else if (name == "required" && input.tools.empty()) {
      fields.Fail("tool_choice", "needs 'tools'");
    } else if (name != "auto" && name != "required") {
      fields.Fail("tool_choice", fmt::format("'{}' is none of none, auto, required", name));
    }
    return;
  }
  const auto name = ChosenName(*choice);
  if (!name) return fields.Fail("tool_choice", "is neither a word nor the name of a function");
  for (const json::value& tool : input.tools) {
    if (ToolName(tool) != *name) continue;
    input.tools = json::array{tool};
    return;
  }
  fields.Fail("tool_choice", fmt::format("names '{}', which is not in 'tools'", *name));
}

ChatRenderer::ChatRenderer(std::shared_ptr<const text::Tokenizer> tokenizer,
                           std::shared_ptr<const text::ChatTemplate> chat_template, bool find_ends)
    : tokenizer_(std::move(tokenizer)), template_(std::move(chat_template)), find_ends_(find_ends) {
  if (template_ != nullptr) wants_parts_ = TemplateWantsParts(template_->source());
}

// The prompt of fewer messages, without the beginning of an answer, as far as it is the beginning
// of the whole one. A template that refuses them tells nothing.
void ChatRenderer::FindEnds(json::object variables, Prompt& prompt) const {
  variables["add_generation_prompt"] = false;
  const json::array messages = variables["messages"].get_array();
  std::size_t system = 0;
  for (; system < messages.size(); ++system) {
    const std::string_view role = View(messages[system].get_object().at("role").get_string());
    if (role != "system" && role != "developer") break;
  }
  for (const std::size_t count : {system, messages.size()}) {
    if (count == 0) continue;
    variables["messages"] = json::array(messages.begin(), messages.begin() + count);
    const auto text = template_->Render(variables, std::nullopt);
    if (!text.ok() || !prompt.text.starts_with(*text)) continue;
    const auto ids = tokenizer_->Encode(*text, false);
    if (!ids.ok()) continue;
    // The last token may differ where the text goes on.
    const auto end = std::mismatch(ids->begin(), ids->end(), prompt.ids.begin(), prompt.ids.end());
    const auto position = static_cast<int32_t>(end.first - ids->begin());
    if (position > 0) prompt.message_ends.push_back(position);
  }
}

StatusOr<Prompt> ChatRenderer::Render(const ChatInput& input) const {
  if (tokenizer_ == nullptr)
    return InvalidArgument("the server runs with --skip-tokenizer-init: only input_ids are read");
  if (template_ == nullptr) {
    return InvalidArgument(
        "the model has no chat template; give one with --chat-template FILE, or use "
        "/v1/completions");
  }
  json::object variables = tokenizer_->special_tokens();
  json::array messages = input.messages;
  std::string begun;
  if (input.continue_final) {
    const json::value& content = messages.back().get_object().at("content");
    begun = content.is_string() ? std::string(View(content.get_string()))
                                : JoinParts(content.get_array());
    messages.pop_back();
    if (messages.empty())
      return InvalidArgument("request: 'continue_final_message' needs a message before the last");
  }
  for (json::value& message : messages) {
    // What a tool said is a text to every template, also to those that want parts of others.
    const bool of_tool = View(message.get_object().at("role").get_string()) == "tool";
    json::value& content = message.get_object()["content"];
    if (content.is_array() && (of_tool || !wants_parts_)) content = JoinParts(content.get_array());
  }
  variables["messages"] = std::move(messages);
  variables["tools"] = input.tools.empty() ? json::value() : json::value(input.tools);
  variables["documents"] = nullptr;
  variables["add_generation_prompt"] = true;
  for (const auto& item : input.template_kwargs) variables[item.key()] = item.value();

  Prompt prompt;
  BANYAN_ASSIGN_OR_RETURN(prompt.text, template_->Render(variables, std::nullopt));
  prompt.text += begun;
  // The template writes BOS itself.
  BANYAN_ASSIGN_OR_RETURN(prompt.ids, tokenizer_->Encode(prompt.text, false));
  if (find_ends_) FindEnds(std::move(variables), prompt);
  return prompt;
}

}  // namespace banyan::serve
