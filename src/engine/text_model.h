// SPDX-License-Identifier: Apache-2.0
// The text side of a model by its path: a folder, or a .gguf file with its embedded vocabulary and
// chat template. Only the metadata of a .gguf is read, so weights that we cannot load do not
// matter here.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace banyan {

struct TextModel {
  std::shared_ptr<const text::Tokenizer> tokenizer;
  std::shared_ptr<const text::ChatTemplate> chat_template;  // null: the model has none
};

// `template_name` as below; a name that no template has is an error.
StatusOr<TextModel> LoadTextModel(const std::string& path, std::string_view template_name = {});

StatusOr<std::shared_ptr<const text::Tokenizer>> LoadTokenizer(const std::string& path);
// `name`: one of several named templates; empty: ChatTemplate::Choose's. kNotFound when there is
// none.
StatusOr<std::shared_ptr<const text::ChatTemplate>> LoadChatTemplate(const std::string& path,
                                                                     std::string_view name = {});
// bos_token, eos_token, ... as chat templates see them, without loading the tokenizer of a folder.
StatusOr<json::object> LoadSpecialTokens(const std::string& path);

}  // namespace banyan
