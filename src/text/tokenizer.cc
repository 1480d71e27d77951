// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer.h"

#include <cstring>
#include <filesystem>
#include <utility>

#include "base/log.h"
#include "text/ffi.h"
#include "text/gguf_vocab.h"
#include "text/model_files.h"
#include "text/sentencepiece.h"
#include "text/vocab_files.h"

namespace banyan::text {
namespace {

struct FreeTokenizer {
  void operator()(BtTokenizer* tokenizer) const { bt_tokenizer_free(tokenizer); }
};

class FfiTokenizer : public Tokenizer {
 public:
  FfiTokenizer(std::unique_ptr<BtTokenizer, FreeTokenizer> ffi,
               std::shared_ptr<const Decoder> decoder, json::object special_tokens)
      : ffi_(std::move(ffi)),
        decoder_(std::move(decoder)),
        special_tokens_(std::move(special_tokens)),
        bos_(Named("bos_token")),
        eos_(Named("eos_token")) {}

  StatusOr<std::vector<TokenId>> Encode(std::string_view text, bool add_special) const override {
    BtBuffer ids{}, error{};
    if (bt_tokenizer_encode(ffi_.get(), ffi::Data(text), text.size(), add_special, &ids, &error) !=
        0)
      return InvalidArgument("{}", ffi::Take(error));
    std::vector<TokenId> result(ids.size / sizeof(TokenId));
    if (ids.size > 0) std::memcpy(result.data(), ids.data, ids.size);
    bt_buffer_free(ids);
    return result;
  }

  StatusOr<std::string> Decode(std::span<const TokenId> ids, bool skip_special) const override {
    auto stream = decoder_->Start();
    std::string text;
    for (TokenId id : ids) {
      const Entry entry = Find(id);
      if (entry.flags == 0)
        return InvalidArgument("{} is not the id of a token (the vocabulary ends at {})", id,
                               vocab_size() - 1);
      if (skip_special && (entry.flags & BT_TOKEN_SPECIAL)) continue;
      stream->Push(entry.text, text);
    }
    stream->Finish(text);
    return text;
  }

  std::string TokenBytes(TokenId id) const override {
    const Entry entry = Find(id);
    if (entry.flags & BT_TOKEN_ADDED) return std::string(entry.text);
    return decoder_->TokenBytes(entry.text);
  }

  std::optional<std::string_view> TokenText(TokenId id) const override {
    const Entry entry = Find(id);
    if (entry.flags == 0) return std::nullopt;
    return entry.text;
  }

  std::optional<TokenId> TokenToId(std::string_view token) const override {
    const int64_t id = bt_tokenizer_token_id(ffi_.get(), ffi::Data(token), token.size());
    if (id < 0) return std::nullopt;
    return static_cast<TokenId>(id);
  }

  bool IsSpecial(TokenId id) const override { return Find(id).flags & BT_TOKEN_SPECIAL; }
  int vocab_size() const override { return static_cast<int>(bt_tokenizer_id_bound(ffi_.get())); }
  std::optional<TokenId> bos_id() const override { return bos_; }
  std::optional<TokenId> eos_id() const override { return eos_; }
  const Decoder& decoder() const override { return *decoder_; }
  const json::object& special_tokens() const override { return special_tokens_; }

 private:
  struct Entry {
    std::string_view text;
    uint32_t flags;
  };
  Entry Find(TokenId id) const {
    const uint8_t* data = nullptr;
    std::size_t size = 0;
    // A negative id becomes one far beyond the table.
    const uint32_t flags = bt_tokenizer_token(ffi_.get(), static_cast<uint32_t>(id), &data, &size);
    return {{reinterpret_cast<const char*>(data), size}, flags};
  }
  std::optional<TokenId> Named(std::string_view name) const {
    const json::value* token = special_tokens_.if_contains(name);
    if (!token || !token->is_string()) return std::nullopt;
    return TokenToId(View(token->get_string()));
  }

  std::unique_ptr<BtTokenizer, FreeTokenizer> ffi_;
  std::shared_ptr<const Decoder> decoder_;
  json::object special_tokens_;
  std::optional<TokenId> bos_, eos_;
};

std::string_view Borrowed(const BtTokenizer* tokenizer,
                          void (*getter)(const BtTokenizer*, const uint8_t**, std::size_t*)) {
  const uint8_t* data = nullptr;
  std::size_t size = 0;
  getter(tokenizer, &data, &size);
  return {reinterpret_cast<const char*>(data), size};
}

// transformers ignores clean_up_tokenization_spaces for BPE, where it would eat real spaces.
bool CleansUpSpaces(const json::object& config, std::string_view model) {
  const auto is_true = [&](std::string_view key) {
    const json::value* value = config.if_contains(key);
    return value && value->is_bool() && value->get_bool();
  };
  if (!is_true("clean_up_tokenization_spaces")) return false;
  return model != "BPE" ||
         is_true("clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output");
}

}  // namespace

StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::FromJson(std::string_view tokenizer_json,
                                                               const json::object& config) {
  const std::string config_text = json::serialize(config);
  BtTokenizer* raw = nullptr;
  BtBuffer error{};
  if (bt_tokenizer_new(ffi::Data(tokenizer_json), tokenizer_json.size(), ffi::Data(config_text),
                       config_text.size(), &raw, &error) != 0)
    return InvalidArgument("{}", ffi::Take(error));
  std::unique_ptr<BtTokenizer, FreeTokenizer> tokenizer(raw);
  if (const std::string_view warning = Borrowed(raw, bt_tokenizer_warning); !warning.empty())
    LogWarning("{}", warning);
  BANYAN_ASSIGN_OR_RETURN(json::value spec, ParseJson(Borrowed(raw, bt_tokenizer_decoder)));
  const bool clean_up = CleansUpSpaces(config, Borrowed(raw, bt_tokenizer_model));
  BANYAN_ASSIGN_OR_RETURN(auto decoder, Decoder::FromJson(spec, clean_up));
  return std::make_shared<const FfiTokenizer>(std::move(tokenizer), std::move(decoder),
                                              SpecialTokens(config));
}

namespace {

// The classes of transformers that take a sentencepiece model's ids as they are. Others renumber
// them or add to the text, each in its own way.
bool TakesIdsAsTheyAre(std::string_view tokenizer_class) {
  for (std::string_view known : {"", "LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer",
                                 "T5Tokenizer", "PreTrainedTokenizer"}) {
    if (tokenizer_class == known) return true;
  }
  return false;
}

// With tokenizer_config.json laid over what the vocabulary says.
StatusOr<std::shared_ptr<const Tokenizer>> FromVocab(const GgufVocab& vocab,
                                                     const json::object& config) {
  BANYAN_ASSIGN_OR_RETURN(GgufTokenizerFiles files, TokenizerFromGguf(vocab));
  for (const auto& [key, value] : config) files.config[key] = value;
  return Tokenizer::FromJson(files.tokenizer_json, files.config);
}

// From tokenizer.model.
StatusOr<std::shared_ptr<const Tokenizer>> FromSentencePiece(std::string_view model,
                                                             const json::object& config) {
  std::string_view tokenizer_class;
  if (const json::value* name = config.if_contains("tokenizer_class"); name && name->is_string()) {
    tokenizer_class = View(name->get_string());
    if (tokenizer_class.ends_with("Fast")) tokenizer_class.remove_suffix(4);
  }
  if (!TakesIdsAsTheyAre(tokenizer_class))
    return Unimplemented(
        "no tokenizer.json, and tokenizer.model of class {} cannot be read without one",
        tokenizer_class);
  BANYAN_ASSIGN_OR_RETURN(const GgufVocab vocab, ParseSentencePieceModel(model));
  return FromVocab(vocab, config);
}

// "" where config.json does not say.
StatusOr<std::string> ModelType(const std::string& folder) {
  BANYAN_ASSIGN_OR_RETURN(const auto text, ReadFileIfAny(folder + "/config.json"));
  if (!text) return std::string();
  BANYAN_ASSIGN_OR_RETURN(const json::object config, ParseJsonObject(*text, "config.json"));
  const json::value* type = config.if_contains("model_type");
  return std::string(type && type->is_string() ? View(type->get_string()) : "");
}

StatusOr<std::shared_ptr<const Tokenizer>> FromFolder(const std::string& folder) {
  BANYAN_ASSIGN_OR_RETURN(json::object config, ReadTokenizerConfig(folder));
  BANYAN_ASSIGN_OR_RETURN(auto text, ReadFileIfAny(folder + "/tokenizer.json"));
  if (text) return Tokenizer::FromJson(*text, config);
  BANYAN_ASSIGN_OR_RETURN(text, ReadFileIfAny(folder + "/tokenizer.model"));
  if (text) return FromSentencePiece(*text, config);
  BANYAN_ASSIGN_OR_RETURN(text, ReadFileIfAny(folder + "/tiktoken.model"));
  if (text) {
    BANYAN_ASSIGN_OR_RETURN(const GgufVocab vocab, ParseTiktokenModel(*text, config));
    return FromVocab(vocab, config);
  }
  BANYAN_ASSIGN_OR_RETURN(text, ReadFileIfAny(folder + "/vocab.json"));
  BANYAN_ASSIGN_OR_RETURN(const auto merges, ReadFileIfAny(folder + "/merges.txt"));
  if (text && merges) {
    BANYAN_ASSIGN_OR_RETURN(const std::string model_type, ModelType(folder));
    BANYAN_ASSIGN_OR_RETURN(const GgufTokenizerFiles files,
                            TokenizerFromVocabAndMerges(*text, *merges, config, model_type));
    return Tokenizer::FromJson(files.tokenizer_json, files.config);
  }
  for (const char* file :
       {"tekken.json", "vocab.json", "vocab.txt", "spiece.model", "qwen.tiktoken"}) {
    std::error_code error;
    if (std::filesystem::exists(folder + "/" + file, error))
      return Unimplemented(
          "no tokenizer.json (a {} alone is not read; convert it with "
          "transformers)",
          file);
  }
  return NotFound("no tokenizer.json");
}

}  // namespace

StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::Load(const std::string& folder) {
  auto tokenizer = FromFolder(folder);
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), folder);
  return tokenizer;
}

}  // namespace banyan::text
