// SPDX-License-Identifier: Apache-2.0
#include "text/gguf_vocab.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "base/turn_ends.h"
#include "text/base64.h"
#include "text/bpe_merges.h"
#include "text/gguf_pretokenizers.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace banyan::text {
namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581

json::value String(std::string_view text) { return json::string(text.data(), text.size()); }

// Ends of turns and marks of fill-in-the-middle, whatever type a converter gave them; llama.cpp
// takes them for control tokens as well.
bool IsControlText(std::string_view text) {
  // clang-format off
  static constexpr std::string_view kMarks[] = {
      "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>", "<|fim_repo|>",
      "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<fim_pad>",
      "<fim-prefix>", "<fim-suffix>", "<fim-middle>", "<fim-pad>", "<fim-repo>",
      "<PAD>", "[PAD]",
      "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>",
      "<PRE>", "<SUF>", "<MID>", "▁<PRE>", "▁<SUF>", "▁<MID>",
      "<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>", "<|prefix|>", "<|suffix|>",
      "<|middle|>", "<|repo_name|>", "<|file_sep|>", "<REPO>", "<reponame>",
  };
  // clang-format on
  static const auto texts = [] {
    absl::flat_hash_set<std::string_view> all(std::begin(kMarks), std::end(kMarks));
    all.insert(std::begin(kTurnEnds), std::end(kTurnEnds));
    return all;
  }();
  return texts.contains(text);
}

GgufTokenType TypeOf(const GgufVocab& vocab, std::size_t id) {
  if (IsControlText(vocab.tokens[id])) return GgufTokenType::kControl;
  if (id >= vocab.token_types.size()) return GgufTokenType::kNormal;
  return static_cast<GgufTokenType>(vocab.token_types[id]);
}

bool IsControl(GgufTokenType type) {
  return type == GgufTokenType::kControl || type == GgufTokenType::kUnknown;
}

Status Check(const GgufVocab& vocab) {
  if (vocab.tokens.empty()) return InvalidArgument("tokenizer.ggml.tokens is missing or empty");
  absl::flat_hash_set<std::string_view> seen;
  seen.reserve(vocab.tokens.size());
  for (std::size_t id = 0; id < vocab.tokens.size(); ++id) {
    if (!IsUtf8(vocab.tokens[id]))
      return InvalidArgument("tokenizer.ggml.tokens: token {} is not UTF-8", id);
    if (!vocab.tokens[id].empty() && !seen.insert(vocab.tokens[id]).second)
      return InvalidArgument("tokenizer.ggml.tokens: token {} (\"{}\") is there twice", id,
                             vocab.tokens[id]);
  }
  if (!vocab.token_types.empty() && vocab.token_types.size() < vocab.tokens.size())
    return InvalidArgument("tokenizer.ggml.token_type: {} entries for {} tokens",
                           vocab.token_types.size(), vocab.tokens.size());
  return OkStatus();
}

Status NeedScores(const GgufVocab& vocab) {
  if (vocab.scores.size() < vocab.tokens.size())
    return InvalidArgument("tokenizer.ggml.scores: {} entries for {} tokens", vocab.scores.size(),
                           vocab.tokens.size());
  for (std::size_t id = 0; id < vocab.tokens.size(); ++id)
    if (!std::isfinite(vocab.scores[id]))
      return InvalidArgument("tokenizer.ggml.scores: that of token {} is not a finite number", id);
  return OkStatus();
}

StatusOr<std::size_t> UnknownToken(const GgufVocab& vocab, int64_t fallback) {
  const int64_t id = vocab.unk_id.value_or(fallback);
  if (id >= 0 && static_cast<std::size_t>(id) < vocab.tokens.size())
    return static_cast<std::size_t>(id);
  return InvalidArgument("tokenizer.ggml.unknown_token_id: {} is no token", id);
}

// The token as a table of unique names needs it.
std::string Name(const GgufVocab& vocab, std::size_t id) {
  return vocab.tokens[id].empty() ? fmt::format("[EMPTY_{}]", id) : vocab.tokens[id];
}

// Phi-3's special tokens take the spaces after them along. Its files name the model, or only the
// architecture, which Phi-4 shares with another vocabulary.
bool IsPhi3(const GgufVocab& vocab) {
  if (vocab.model != "llama") return false;
  if (vocab.architecture == "phi3") return true;
  std::string name = vocab.name;
  for (char& c : name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return name.find("phi-3") != std::string::npos || name.find("phi3") != std::string::npos;
}

// Control tokens match where they stand in a text and are special; user-defined ones only match.
json::array AddedTokens(const GgufVocab& vocab) {
  json::array added;
  const bool phi3 = IsPhi3(vocab);
  for (std::size_t id = 0; id < vocab.tokens.size(); ++id) {
    const GgufTokenType type = TypeOf(vocab, id);
    if (vocab.tokens[id].empty()) continue;
    if (!IsControl(type) && type != GgufTokenType::kUserDefined) continue;
    const std::string_view token = vocab.tokens[id];
    const bool takes_spaces =
        phi3 && token != "<unk>" && token != "<s>" && token != "<|endoftext|>";
    added.emplace_back(json::object{{"id", id},
                                    {"content", vocab.tokens[id]},
                                    {"single_word", false},
                                    {"lstrip", false},
                                    {"rstrip", takes_spaces},
                                    {"normalized", false},
                                    {"special", IsControl(type)}});
  }
  return added;
}

json::object File(json::array added, json::value normalizer, json::value pre_tokenizer,
                  json::value decoder, json::object model) {
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", std::move(added)},
          {"normalizer", std::move(normalizer)},
          {"pre_tokenizer", std::move(pre_tokenizer)},
          {"post_processor", nullptr},
          {"decoder", std::move(decoder)},
          {"model", std::move(model)}};
}

// Without vocab and merges, which BpeText adds.
json::object BpeModel(json::value unk_token, bool byte_fallback, bool ignore_merges) {
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", std::move(unk_token)},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", true},
          {"byte_fallback", byte_fallback},
          {"ignore_merges", ignore_merges}};
}

void AppendString(std::string& out, std::string_view text) {
  out += '"';
  std::size_t done = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c != '"' && c != '\\' && static_cast<unsigned char>(c) >= 0x20) continue;
    out.append(text, done, i - done);
    out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    done = i + 1;
  }
  out.append(text, done);
  out += '"';
}

using Merge = std::pair<std::string_view, std::string_view>;

// `file`, whose last key is a BpeModel, as text. The vocabulary and the merges are most of a
// start's JSON: they are written as they come, without a tree.
std::string BpeText(const json::object& file, const GgufVocab& vocab,
                    const std::vector<Merge>& merges) {
  std::string out = json::serialize(file);
  out.resize(out.size() - 2);  // the model's bracket and the file's
  out += ",\"vocab\":{";
  for (std::size_t id = 0; id < vocab.tokens.size(); ++id) {
    if (id > 0) out += ',';
    if (vocab.tokens[id].empty()) {
      AppendString(out, Name(vocab, id));
    } else {
      AppendString(out, vocab.tokens[id]);
    }
    out += ':';
    out += fmt::format_int(id).c_str();
  }
  out += "},\"merges\":[";
  for (std::size_t i = 0; i < merges.size(); ++i) {
    out += i > 0 ? ",[" : "[";
    AppendString(out, merges[i].first);
    out += ',';
    AppendString(out, merges[i].second);
    out += ']';
  }
  out += "]}}";
  return out;
}

json::object ReplaceStep(std::string_view from, std::string_view to) {
  return {{"type", "Replace"}, {"pattern", {{"String", String(from)}}}, {"content", String(to)}};
}

// llama.cpp's defaults. A Unigram model that tidies spaces begins each word with one.
bool AddsSpacePrefix(const GgufVocab& vocab) {
  return vocab.add_space_prefix.value_or(vocab.model == "llama" ||
                                         vocab.remove_extra_whitespaces.value_or(false));
}

// What a sentencepiece model does to a text before its pieces are looked for.
json::object SpaceMarkNormalizer(const GgufVocab& vocab) {
  json::array steps;
  if (!vocab.precompiled_charsmap.empty())
    steps.emplace_back(
        json::object{{"type", "Precompiled"},
                     {"precompiled_charsmap", EncodeBase64(vocab.precompiled_charsmap)}});
  if (vocab.remove_extra_whitespaces.value_or(false)) {
    // At the end sentencepiece drops its mark like the space that it stands for. A run is looked at
    // from its beginning only: from each place in it would be work by its square.
    for (const auto& [pattern, content] :
         {std::pair(R"((?<![ ▁])[ ▁]+\z|\A +)", ""), std::pair(" {2,}", " ")})
      steps.emplace_back(json::object{
          {"type", "Replace"}, {"pattern", {{"Regex", pattern}}}, {"content", content}});
  }
  if (AddsSpacePrefix(vocab))
    steps.emplace_back(json::object{{"type", "Prepend"}, {"prepend", String(kSpaceMark)}});
  steps.emplace_back(ReplaceStep(" ", kSpaceMark));
  return {{"type", "Sequence"}, {"normalizers", std::move(steps)}};
}

// From plain text with U+2581 for spaces back, with byte tokens joined.
json::object SpaceMarkDecoder(bool strip_first_space) {
  json::array steps;
  steps.emplace_back(ReplaceStep(kSpaceMark, " "));
  steps.emplace_back(json::object{{"type", "ByteFallback"}});
  steps.emplace_back(json::object{{"type", "Fuse"}});
  if (strip_first_space)
    steps.emplace_back(
        json::object{{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", std::move(steps)}};
}

json::array Splits(const GgufPretokenizer& pre) {
  json::array splits;
  for (std::string_view regex : pre.splits)
    splits.emplace_back(json::object{{"type", "Split"},
                                     {"pattern", {{"Regex", String(regex)}}},
                                     {"behavior", "Isolated"},
                                     {"invert", false}});
  return splits;
}

// Of BPE vocabularies; null for an unknown name.
const GgufPretokenizer* PretokenizerOf(const GgufVocab& vocab) {
  if (vocab.model == "gemma4") return FindGgufPretokenizer("gemma4");
  return vocab.model == "gpt2" ? FindGgufPretokenizer(vocab.pre) : nullptr;
}

StatusOr<std::string> FromBpe(const GgufVocab& vocab) {
  if (vocab.pre.empty() && vocab.model == "gpt2")
    return InvalidArgument(
        "the file does not name its pre-tokenizer (tokenizer.ggml.pre): it was converted before "
        "they were told apart, and its ids would be wrong; convert it again");
  const GgufPretokenizer* pre = PretokenizerOf(vocab);
  if (!pre) return Unimplemented("unknown pre-tokenizer \"{}\" (tokenizer.ggml.pre)", vocab.pre);
  if (vocab.merges.empty()) return InvalidArgument("tokenizer.ggml.merges is missing or empty");
  std::vector<Merge> merges;
  merges.reserve(vocab.merges.size());
  for (const std::string& merge : vocab.merges) {
    // The space between the two; a token may begin with one.
    const std::size_t space = merge.find(' ', 1);
    if (space == std::string::npos || !IsUtf8(merge))
      return InvalidArgument("tokenizer.ggml.merges: \"{}\" is not two tokens",
                             IsUtf8(merge) ? merge : "?");
    const std::string_view both = merge;
    merges.emplace_back(both.substr(0, space), both.substr(space + 1));
  }
  json::array steps = Splits(*pre);
  if (!pre->byte_level) {
    return BpeText(File(AddedTokens(vocab), ReplaceStep(" ", kSpaceMark),
                        json::object{{"type", "Sequence"}, {"pretokenizers", std::move(steps)}},
                        SpaceMarkDecoder(false), BpeModel(nullptr, true, pre->ignore_merges)),
                   vocab, merges);
  }
  const json::object byte_level{{"type", "ByteLevel"},
                                {"add_prefix_space", false},
                                {"trim_offsets", true},
                                {"use_regex", false}};
  steps.emplace_back(byte_level);
  json::value normalizer = nullptr;
  if (pre->nfc) normalizer = json::object{{"type", "NFC"}};
  return BpeText(File(AddedTokens(vocab), std::move(normalizer),
                      json::object{{"type", "Sequence"}, {"pretokenizers", std::move(steps)}},
                      byte_level, BpeModel(nullptr, false, pre->ignore_merges)),
                 vocab, merges);
}

StatusOr<std::string> FromSentencePiece(const GgufVocab& vocab) {
  BANYAN_RETURN_IF_ERROR(NeedScores(vocab));
  std::vector<ScoredPiece> pieces;
  pieces.reserve(vocab.tokens.size());
  bool has_bytes = false;
  for (std::size_t id = 0; id < vocab.tokens.size(); ++id) {
    const GgufTokenType type = TypeOf(vocab, id);
    has_bytes |= type == GgufTokenType::kByte;
    pieces.push_back({vocab.tokens[id], vocab.scores[id], !vocab.tokens[id].empty()});
  }
  BANYAN_ASSIGN_OR_RETURN(const auto merges, MergesByScore(pieces));
  const auto unk = static_cast<std::size_t>(vocab.unk_id.value_or(0));
  json::value unk_token = nullptr;
  if (unk < vocab.tokens.size()) unk_token = Name(vocab, unk);
  return BpeText(File(AddedTokens(vocab), SpaceMarkNormalizer(vocab), nullptr,
                      SpaceMarkDecoder(AddsSpacePrefix(vocab)),
                      BpeModel(std::move(unk_token), has_bytes, false)),
                 vocab, merges);
}

StatusOr<std::string> FromUnigram(const GgufVocab& vocab) {
  BANYAN_RETURN_IF_ERROR(NeedScores(vocab));
  BANYAN_ASSIGN_OR_RETURN(const std::size_t unk, UnknownToken(vocab, 2));
  json::array table;
  bool has_bytes = false, spans_words = false;
  for (std::size_t id = 0; id < vocab.tokens.size(); ++id) {
    table.emplace_back(json::array{Name(vocab, id), vocab.scores[id]});
    has_bytes |= TypeOf(vocab, id) == GgufTokenType::kByte;
    spans_words |= vocab.tokens[id].find(kSpaceMark, 1) != std::string::npos;
  }
  const auto metaspace = [](bool prefix) {
    return json::object{{"type", "Metaspace"},
                        {"replacement", String(kSpaceMark)},
                        {"prepend_scheme", prefix ? "always" : "never"},
                        {"split", true}};
  };
  json::array decoders;
  if (has_bytes) decoders.emplace_back(json::object{{"type", "ByteFallback"}});
  decoders.emplace_back(metaspace(AddsSpacePrefix(vocab)));
  // The search is quicker word by word, where no piece is of several.
  json::value pre_tokenizer = nullptr;
  if (!spans_words) pre_tokenizer = metaspace(false);
  return json::serialize(File(AddedTokens(vocab), SpaceMarkNormalizer(vocab),
                              std::move(pre_tokenizer),
                              json::object{{"type", "Sequence"}, {"decoders", std::move(decoders)}},
                              {{"type", "Unigram"},
                               {"unk_id", unk},
                               {"byte_fallback", has_bytes},
                               {"vocab", std::move(table)}}));
}

// llama.cpp marks the beginning of a word where BERT marks its continuation.
StatusOr<std::string> FromWordPiece(const GgufVocab& vocab) {
  json::object table;
  for (std::size_t id = 0; id < vocab.tokens.size(); ++id) {
    std::string token = Name(vocab, id);
    if (token.starts_with(kSpaceMark)) {
      token.erase(0, kSpaceMark.size());
    } else if (TypeOf(vocab, id) == GgufTokenType::kNormal && !vocab.tokens[id].empty()) {
      token.insert(0, "##");
    }
    table[token] = id;
  }
  BANYAN_ASSIGN_OR_RETURN(const std::size_t unk, UnknownToken(vocab, 100));
  const bool lowercase = vocab.lowercase.value_or(true);
  return json::serialize(
      File(AddedTokens(vocab),
           json::object{{"type", "BertNormalizer"},
                        {"clean_text", true},
                        {"handle_chinese_chars", true},
                        {"strip_accents", vocab.strip_accents.value_or(lowercase)},
                        {"lowercase", lowercase}},
           json::object{{"type", "BertPreTokenizer"}},
           json::object{{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}},
           {{"type", "WordPiece"},
            {"unk_token", Name(vocab, unk)},
            {"continuing_subword_prefix", "##"},
            {"max_input_chars_per_word", 100},
            {"vocab", std::move(table)}}));
}

}  // namespace

json::object GgufConfig(const GgufVocab& vocab) {
  json::object config;
  const bool word_piece = vocab.model == "bert", unigram = vocab.model == "t5";
  const bool sentence_piece = vocab.model == "llama";
  const auto name = [&](const char* key, std::optional<int64_t> id, std::optional<int64_t> other) {
    const int64_t token = id.value_or(other.value_or(-1));
    if (token < 0 || token >= static_cast<int64_t>(vocab.tokens.size())) return;
    // To name a token here makes it special. Files name ordinary ones for padding and the like.
    const bool ordinary =
        !vocab.token_types.empty() && TypeOf(vocab, token) == GgufTokenType::kNormal;
    const std::string_view role = key;
    if (ordinary && role != "bos_token" && role != "eos_token") return;
    if (!vocab.tokens[token].empty()) config[key] = vocab.tokens[token];
  };
  const auto fallback = [](bool applies, int64_t id) {
    return applies ? std::optional<int64_t>(id) : std::nullopt;
  };
  name("bos_token", vocab.bos_id, word_piece ? fallback(true, 101) : fallback(sentence_piece, 1));
  name("eos_token", vocab.eos_id, unigram ? fallback(true, 1) : fallback(sentence_piece, 2));
  name("unk_token", vocab.unk_id,
       word_piece ? fallback(true, 100)
       : unigram  ? fallback(true, 2)
                  : fallback(sentence_piece, 0));
  name("sep_token", vocab.sep_id, fallback(word_piece, 102));
  name("pad_token", vocab.pad_id, fallback(word_piece || unigram, 0));
  name("mask_token", vocab.mask_id, fallback(word_piece, 103));

  const GgufPretokenizer* pre = PretokenizerOf(vocab);
  const bool default_bos = sentence_piece || (pre && pre->add_bos);
  config["bos_eos_by_flags"] = true;
  config["add_bos_token"] =
      word_piece || (pre && pre->always_bos) || vocab.add_bos.value_or(default_bos);
  config["add_eos_token"] = word_piece || vocab.add_eos.value_or(unigram || (pre && pre->add_eos));
  // BERT's texts end with the separator, whatever the file says.
  // A copy first: operator[] may move what the object holds.
  if (const json::value* separator = config.if_contains("sep_token"); separator && word_piece)
    config["eos_token"] = json::value(*separator);
  return config;
}

StatusOr<GgufTokenizerFiles> TokenizerFromGguf(const GgufVocab& vocab) {
  BANYAN_RETURN_IF_ERROR(Check(vocab));
  StatusOr<std::string> file = Unimplemented(
      "the vocabulary of model \"{}\" (tokenizer.ggml.model; known: gpt2, gemma4, llama, t5, bert)",
      vocab.model);
  if (vocab.model == "gpt2" || vocab.model == "gemma4") {
    file = FromBpe(vocab);
  } else if (vocab.model == "llama") {
    file = FromSentencePiece(vocab);
  } else if (vocab.model == "t5") {
    file = FromUnigram(vocab);
  } else if (vocab.model == "bert") {
    file = FromWordPiece(vocab);
  }
  if (!file.ok()) return file.status();
  return GgufTokenizerFiles{*std::move(file), GgufConfig(vocab)};
}

StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::FromGgufVocab(const GgufVocab& vocab) {
  BANYAN_ASSIGN_OR_RETURN(GgufTokenizerFiles files, TokenizerFromGguf(vocab));
  return FromJson(files.tokenizer_json, files.config);
}

}  // namespace banyan::text
