// SPDX-License-Identifier: Apache-2.0
// From a chat request's messages to a prompt: checks them, brings them into the form that the
// model's template expects, renders and tokenizes. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/fields.h"
#include "base/json.h"
#include "base/status.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace banyan::serve {

struct ChatInput {
  json::array messages;  // checked, tool-call arguments decoded to objects
  json::array tools;     // what the template is given: none, all, or the one that is to be called
  json::object template_kwargs;
  bool continue_final = false;  // the last message is the beginning of the answer
};

// Reads messages, chat_template_kwargs, reasoning_effort and continue_final_message.
void ReadChatInput(Fields& fields, ChatInput& input);
// Reads tools and tool_choice. As in SGLang, "none" leaves the prompt as it is without tools.
void ReadTools(Fields& fields, ChatInput& input);

struct Prompt {
  std::string text;
  std::vector<text::TokenId> ids;
  // Where later prompts are likely to part from this one: the ends of the leading system messages
  // and of the last message, in tokens.
  std::vector<int32_t> message_ends;
};

class ChatRenderer {
 public:
  // Either may be null: rendering then fails with a sentence that says what the model lacks.
  // With `find_ends` prompts tell where messages end, at the cost of rendering them more than once:
  // for models that can resume only where something was kept.
  ChatRenderer(std::shared_ptr<const text::Tokenizer> tokenizer,
               std::shared_ptr<const text::ChatTemplate> chat_template, bool find_ends = false);

  StatusOr<Prompt> Render(const ChatInput& input) const;

 private:
  void FindEnds(json::object variables, Prompt& prompt) const;

  std::shared_ptr<const text::Tokenizer> tokenizer_;
  std::shared_ptr<const text::ChatTemplate> template_;
  bool wants_parts_ = false;
  const bool find_ends_;
};

// Whether a template walks through a message's content as a list of parts ("openai" format) rather
// than printing it as a string.
bool TemplateWantsParts(std::string_view source);

}  // namespace banyan::serve
