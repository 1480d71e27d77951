// SPDX-License-Identifier: Apache-2.0
// ChatTemplate: a model's Jinja template, rendered as transformers renders it (sandbox,
// trim_blocks, lstrip_blocks, loop controls, the generation tag, tojson without escapes,
// strftime_now, raise_exception) with Python's own values and string forms. Immutable and
// thread-safe once compiled. Work, memory, output and recursion are bounded; a template that fails
// or exceeds a bound gives kInvalidArgument with its own message.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace banyan::text {

using TemplateSources = std::map<std::string, std::string, std::less<>>;  // by name

class ChatTemplate {
 public:
  virtual ~ChatTemplate() = default;

  static StatusOr<std::shared_ptr<const ChatTemplate>> Compile(std::string_view source);
  // One of several named templates ("default", "tool_use", "rag"). Empty `name`: as transformers
  // does, tool_use where there is one and tools are given, else the default; where there is none
  // of that name, rendering fails with the names that there are. kNotFound without any template, or
  // when none has that name.
  static StatusOr<std::shared_ptr<const ChatTemplate>> Choose(const TemplateSources& sources,
                                                              std::string_view name = {});
  // From a model folder: chat_template.jinja, additional_chat_templates/NAME.jinja,
  // chat_template.json, tokenizer_config.json's chat_template (a text or named ones). Templates in
  // files stand for all of the configs'. (For a .gguf file see engine/text_model.h.)
  static StatusOr<std::shared_ptr<const ChatTemplate>> Load(const std::string& folder,
                                                            std::string_view name = {});

  // `variables`: messages, tools, add_generation_prompt, bos_token, ... exactly as the template
  // will see them. `now`: what strftime_now sees, seconds since the epoch in UTC; none: the clock.
  virtual StatusOr<std::string> Render(const json::object& variables,
                                       std::optional<int64_t> now) const = 0;
  // The same with the variables as the text of a JSON object, which keeps integers of any size;
  // `defaults` hold what the text does not name.
  virtual StatusOr<std::string> RenderJson(std::string_view variables, const json::object& defaults,
                                           std::optional<int64_t> now) const = 0;
  virtual const std::string& source() const = 0;
};

}  // namespace banyan::text
