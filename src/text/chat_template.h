// SPDX-License-Identifier: Apache-2.0
// ChatTemplate: a model's Jinja template, rendered as transformers renders it (sandbox,
// trim_blocks, lstrip_blocks, loop controls, the generation tag, tojson without escapes,
// strftime_now, raise_exception). Thread-safe once compiled. Time, memory and recursion are
// bounded; a template that fails gives kInvalidArgument with its own message.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace banyan::text {

class ChatTemplate {
 public:
  virtual ~ChatTemplate() = default;

  static StatusOr<std::shared_ptr<const ChatTemplate>> Compile(std::string_view source);
  // chat_template.jinja, tokenizer_config.json's chat_template (a text or named ones), GGUF's
  // tokenizer.chat_template. kNotFound when the model has none. `name`: one of several named
  // templates ("default", "tool_use", "rag").
  static StatusOr<std::shared_ptr<const ChatTemplate>> Load(const std::string& model_path,
                                                            std::string_view name = {});

  // `variables`: messages, tools, add_generation_prompt, bos_token, ... exactly as the template
  // will see them. `now`: what strftime_now sees, seconds since the epoch in UTC; none: the clock.
  virtual StatusOr<std::string> Render(const json::object& variables,
                                       std::optional<int64_t> now) const = 0;
  virtual const std::string& source() const = 0;
};

}  // namespace banyan::text
