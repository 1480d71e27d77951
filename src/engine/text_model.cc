// SPDX-License-Identifier: Apache-2.0
#include "engine/text_model.h"

#include <optional>
#include <utility>
#include <vector>

#include "text/gguf_vocab.h"
#include "text/model_files.h"
#include "weights/gguf.h"

namespace banyan {
namespace {

bool IsGguf(std::string_view path) { return path.ends_with(".gguf"); }

Status ReadStrings(const weights::GgufMetadata& gguf, std::string_view key,
                   std::vector<std::string>& out) {
  BANYAN_ASSIGN_OR_RETURN(auto strings, gguf.Strings(key));
  if (strings) out.assign(strings->begin(), strings->end());
  return OkStatus();
}

template <typename T, typename U>
void Assign(const std::optional<std::vector<U>>& from, std::vector<T>& to) {
  if (!from) return;
  to.reserve(from->size());
  for (U value : *from) to.push_back(static_cast<T>(value));
}

StatusOr<text::GgufVocab> ReadVocab(const weights::GgufMetadata& gguf) {
  text::GgufVocab vocab;
  BANYAN_ASSIGN_OR_RETURN(auto model, gguf.String("tokenizer.ggml.model"));
  if (!model) return NotFound("the file has no vocabulary (tokenizer.ggml.model)");
  vocab.model = *model;
  BANYAN_ASSIGN_OR_RETURN(auto pre, gguf.String("tokenizer.ggml.pre"));
  vocab.pre = pre.value_or("");
  BANYAN_ASSIGN_OR_RETURN(auto name, gguf.String("general.name"));
  vocab.name = name.value_or("");
  vocab.architecture = gguf.architecture();
  BANYAN_RETURN_IF_ERROR(ReadStrings(gguf, "tokenizer.ggml.tokens", vocab.tokens));
  BANYAN_RETURN_IF_ERROR(ReadStrings(gguf, "tokenizer.ggml.merges", vocab.merges));
  BANYAN_ASSIGN_OR_RETURN(auto scores, gguf.Floats("tokenizer.ggml.scores"));
  Assign(scores, vocab.scores);
  BANYAN_ASSIGN_OR_RETURN(auto types, gguf.Ints("tokenizer.ggml.token_type"));
  Assign(types, vocab.token_types);
  BANYAN_ASSIGN_OR_RETURN(auto charsmap, gguf.Ints("tokenizer.ggml.precompiled_charsmap"));
  Assign(charsmap, vocab.precompiled_charsmap);
  BANYAN_ASSIGN_OR_RETURN(vocab.bos_id, gguf.Int("tokenizer.ggml.bos_token_id"));
  BANYAN_ASSIGN_OR_RETURN(vocab.eos_id, gguf.Int("tokenizer.ggml.eos_token_id"));
  BANYAN_ASSIGN_OR_RETURN(vocab.unk_id, gguf.Int("tokenizer.ggml.unknown_token_id"));
  BANYAN_ASSIGN_OR_RETURN(vocab.sep_id, gguf.Int("tokenizer.ggml.seperator_token_id"));
  BANYAN_ASSIGN_OR_RETURN(vocab.pad_id, gguf.Int("tokenizer.ggml.padding_token_id"));
  BANYAN_ASSIGN_OR_RETURN(vocab.mask_id, gguf.Int("tokenizer.ggml.mask_token_id"));
  BANYAN_ASSIGN_OR_RETURN(vocab.add_bos, gguf.Bool("tokenizer.ggml.add_bos_token"));
  BANYAN_ASSIGN_OR_RETURN(vocab.add_eos, gguf.Bool("tokenizer.ggml.add_eos_token"));
  BANYAN_ASSIGN_OR_RETURN(vocab.add_space_prefix, gguf.Bool("tokenizer.ggml.add_space_prefix"));
  BANYAN_ASSIGN_OR_RETURN(vocab.remove_extra_whitespaces,
                          gguf.Bool("tokenizer.ggml.remove_extra_whitespaces"));
  BANYAN_ASSIGN_OR_RETURN(vocab.lowercase, gguf.Bool("tokenizer.ggml.normalizer.lowercase"));
  BANYAN_ASSIGN_OR_RETURN(vocab.strip_accents,
                          gguf.Bool("tokenizer.ggml.normalizer.strip_accents"));
  return vocab;
}

StatusOr<std::shared_ptr<const text::Tokenizer>> TokenizerOf(const weights::GgufMetadata& gguf) {
  BANYAN_ASSIGN_OR_RETURN(text::GgufVocab vocab, ReadVocab(gguf));
  return text::Tokenizer::FromGgufVocab(vocab);
}

StatusOr<std::shared_ptr<const text::ChatTemplate>> TemplateOf(const weights::GgufMetadata& gguf,
                                                               std::string_view name) {
  constexpr std::string_view kKey = "tokenizer.chat_template";
  text::TemplateSources sources;
  for (const std::string_view key : gguf.keys()) {
    if (!key.starts_with(kKey) || (key.size() > kKey.size() && key[kKey.size()] != '.')) continue;
    BANYAN_ASSIGN_OR_RETURN(auto source, gguf.String(key));
    const std::string_view own = key == kKey ? "default" : key.substr(kKey.size() + 1);
    if (source) sources.emplace(own, *source);
  }
  return text::ChatTemplate::Choose(sources, name);
}

}  // namespace

StatusOr<TextModel> LoadTextModel(const std::string& path, std::string_view template_name) {
  TextModel model;
  BANYAN_ASSIGN_OR_RETURN(model.tokenizer, LoadTokenizer(path));
  auto chat_template = LoadChatTemplate(path, template_name);
  const bool none = chat_template.status().code() == StatusCode::kNotFound;
  if (!chat_template.ok() && !(none && template_name.empty())) return chat_template.status();
  if (chat_template.ok()) model.chat_template = *std::move(chat_template);
  return model;
}

StatusOr<std::shared_ptr<const text::Tokenizer>> LoadTokenizer(const std::string& path) {
  if (!IsGguf(path)) return text::Tokenizer::Load(path);
  BANYAN_ASSIGN_OR_RETURN(auto gguf, weights::GgufMetadata::Open(path));
  auto tokenizer = TokenizerOf(*gguf);
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), path);
  return tokenizer;
}

StatusOr<std::shared_ptr<const text::ChatTemplate>> LoadChatTemplate(const std::string& path,
                                                                     std::string_view name) {
  if (!IsGguf(path)) return text::ChatTemplate::Load(path, name);
  BANYAN_ASSIGN_OR_RETURN(auto gguf, weights::GgufMetadata::Open(path));
  auto chat_template = TemplateOf(*gguf, name);
  if (!chat_template.ok()) return Annotate(chat_template.status(), path);
  return chat_template;
}

StatusOr<json::object> LoadSpecialTokens(const std::string& path) {
  if (!IsGguf(path)) {
    BANYAN_ASSIGN_OR_RETURN(json::object config, text::ReadTokenizerConfig(path));
    return text::SpecialTokens(config);
  }
  BANYAN_ASSIGN_OR_RETURN(auto gguf, weights::GgufMetadata::Open(path));
  BANYAN_ASSIGN_OR_RETURN(text::GgufVocab vocab, ReadVocab(*gguf));
  return text::SpecialTokens(text::GgufConfig(vocab));
}

}  // namespace banyan
