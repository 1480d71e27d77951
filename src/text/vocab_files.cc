// SPDX-License-Identifier: Apache-2.0
#include "text/vocab_files.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "text/base64.h"
#include "text/gguf_pretokenizers.h"
#include "text/utf8.h"

namespace banyan::text {
namespace {

constexpr int kReservedTokens = 256;  // behind Moonshot's ranks
constexpr std::size_t kMaxTokenBytes = 1024;
// All cuts of all tokens, written out: a few MB of a real vocabulary's.
constexpr std::size_t kMaxMergeBytes = 64 << 20;

// The next line of `rest`, without its end.
std::string_view NextLine(std::string_view& rest) {
  const std::size_t end = std::min(rest.find('\n'), rest.size());
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::string_view ClassOf(const json::object& config) {
  const json::value* name = config.if_contains("tokenizer_class");
  if (!name || !name->is_string()) return {};
  std::string_view found = View(name->get_string());
  if (found.ends_with("Fast")) found.remove_suffix(4);
  return found;
}

// What transformers takes where no class is named.
std::string_view ClassOfModel(std::string_view model_type) {
  if (model_type == "gpt2" || model_type == "opt") return "GPT2Tokenizer";
  for (std::string_view known : {"qwen2", "qwen2_moe", "qwen3", "qwen3_moe"})
    if (model_type == known) return "Qwen2Tokenizer";
  return {};
}

StatusOr<json::array> ReadMerges(std::string_view text) {
  json::array merges;
  for (int number = 1; !text.empty(); ++number) {
    const std::string_view line = NextLine(text);
    if (line.empty() || line.starts_with("#version")) continue;
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos ||
        !IsUtf8(line))
      return InvalidArgument("merges.txt: line {} is not two tokens", number);
    merges.emplace_back(
        json::array{json::string(line.substr(0, space)), json::string(line.substr(space + 1))});
  }
  return merges;
}

json::object ByteLevel(bool add_prefix_space, bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

// GPT-2's alphabet: printable bytes stand for themselves, the others for U+0100 and up.
std::string InAlphabet(std::string_view bytes) {
  static const auto letters = [] {
    std::array<std::string, 256> table;
    char32_t next = 0x100;
    for (char32_t byte = 0; byte < 256; ++byte) {
      const bool printable = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
      AppendUtf8(table[byte], printable ? byte : next++);
    }
    return table;
  }();
  std::string out;
  for (const char c : bytes) out += letters[static_cast<unsigned char>(c)];
  return out;
}

// The tokens by rank, as bytes.
StatusOr<std::vector<std::string>> ReadRanks(std::string_view text) {
  std::vector<std::string> tokens;
  for (int number = 1; !text.empty(); ++number) {
    const std::string_view line = NextLine(text);
    if (line.empty()) continue;
    const std::size_t space = line.find(' ');
    const std::string_view digits = space == std::string_view::npos ? "" : line.substr(space + 1);
    std::size_t rank = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
    std::optional<std::string> token = DecodeBase64(line.substr(0, space));
    if (!token || token->empty() || error != std::errc() || end != digits.data() + digits.size())
      return InvalidArgument("tiktoken.model: line {} is not a token in base64 and its rank",
                             number);
    if (rank != tokens.size())
      return InvalidArgument("tiktoken.model: line {}: rank {} where {} is next", number, rank,
                             tokens.size());
    if (token->size() > kMaxTokenBytes)
      return InvalidArgument("tiktoken.model: line {}: a token of {} bytes", number, token->size());
    tokens.push_back(*std::move(token));
  }
  if (tokens.empty()) return InvalidArgument("tiktoken.model holds no token");
  return tokens;
}

// tiktoken joins the two neighbours whose join has the lowest rank: the merges, in that order.
StatusOr<std::vector<std::string>> MergesByRank(const std::vector<std::string>& tokens) {
  absl::flat_hash_map<std::string_view, std::size_t> ranks;
  for (const std::string& token : tokens)
    if (!ranks.emplace(token, ranks.size()).second)
      return InvalidArgument("tiktoken.model: the token of rank {} is there twice", ranks.size());
  std::vector<std::string> merges;
  std::size_t bytes = 0;
  std::vector<std::tuple<std::size_t, std::size_t, std::size_t>> cuts;
  for (const std::string& token : tokens) {
    const std::string_view whole = token;
    cuts.clear();
    for (std::size_t at = 1; at < whole.size(); ++at) {
      const auto left = ranks.find(whole.substr(0, at)), right = ranks.find(whole.substr(at));
      if (left != ranks.end() && right != ranks.end())
        cuts.emplace_back(left->second, right->second, at);
    }
    std::sort(cuts.begin(), cuts.end());
    if ((bytes += cuts.size() * whole.size()) > kMaxMergeBytes)
      return InvalidArgument(
          "tiktoken.model: its tokens are joined of each other in too many ways");
    for (const auto& [left, right, at] : cuts)
      merges.push_back(InAlphabet(whole.substr(0, at)) + " " + InAlphabet(whole.substr(at)));
  }
  return merges;
}

}  // namespace

StatusOr<GgufTokenizerFiles> TokenizerFromVocabAndMerges(std::string_view vocab,
                                                         std::string_view merges,
                                                         json::object config,
                                                         std::string_view model_type) {
  std::string_view tokenizer_class = ClassOf(config);
  if (tokenizer_class.empty()) tokenizer_class = ClassOfModel(model_type);
  const bool qwen2 = tokenizer_class == "Qwen2Tokenizer";
  if (!qwen2 && tokenizer_class != "GPT2Tokenizer")
    return Unimplemented(
        "no tokenizer.json, and vocab.json with merges.txt of class \"{}\" cannot be read without "
        "one (known: GPT2Tokenizer, Qwen2Tokenizer)",
        tokenizer_class);
  BANYAN_ASSIGN_OR_RETURN(json::object tokens, ParseJsonObject(vocab, "vocab.json"));
  BANYAN_ASSIGN_OR_RETURN(json::array pairs, ReadMerges(merges));
  const json::value* given = config.if_contains("add_prefix_space");
  const bool prefix = given && given->is_bool() && given->get_bool();
  json::value cut = ByteLevel(prefix, true), normalizer = nullptr;
  if (qwen2) {
    const std::string_view regex = FindGgufPretokenizer("qwen2")->splits.front();
    cut = json::object{
        {"type", "Sequence"},
        {"pretokenizers", json::array{json::object{{"type", "Split"},
                                                   {"pattern", {{"Regex", json::string(regex)}}},
                                                   {"behavior", "Isolated"},
                                                   {"invert", false}},
                                      ByteLevel(prefix, false)}}};
    normalizer = json::object{{"type", "NFC"}};
  }
  // The roles that the class gives where the config is silent.
  for (const char* role : {"eos_token", "unk_token", qwen2 ? "pad_token" : "bos_token"})
    if (!config.contains(role)) config[role] = "<|endoftext|>";
  config["bos_eos_by_flags"] = true;
  const json::object file{{"version", "1.0"},
                          {"truncation", nullptr},
                          {"padding", nullptr},
                          {"added_tokens", json::array()},
                          {"normalizer", std::move(normalizer)},
                          {"pre_tokenizer", std::move(cut)},
                          {"post_processor", nullptr},
                          {"decoder", ByteLevel(true, true)},
                          {"model", json::object{{"type", "BPE"},
                                                 {"dropout", nullptr},
                                                 {"unk_token", nullptr},
                                                 {"continuing_subword_prefix", ""},
                                                 {"end_of_word_suffix", ""},
                                                 {"fuse_unk", false},
                                                 {"byte_fallback", false},
                                                 {"vocab", std::move(tokens)},
                                                 {"merges", std::move(pairs)}}}};
  return GgufTokenizerFiles{json::serialize(file), std::move(config)};
}

StatusOr<GgufVocab> ParseTiktokenModel(std::string_view ranks, const json::object& config) {
  if (ClassOf(config) != "TikTokenTokenizer")
    return Unimplemented(
        "no tokenizer.json, and tiktoken.model of class \"{}\" cannot be read without one (known: "
        "TikTokenTokenizer)",
        ClassOf(config));
  BANYAN_ASSIGN_OR_RETURN(const std::vector<std::string> tokens, ReadRanks(ranks));
  GgufVocab vocab;
  vocab.model = "gpt2";
  vocab.pre = "kimi-k2";
  BANYAN_ASSIGN_OR_RETURN(vocab.merges, MergesByRank(tokens));
  vocab.tokens.reserve(tokens.size() + kReservedTokens);
  for (const std::string& token : tokens) vocab.tokens.push_back(InAlphabet(token));
  vocab.token_types.assign(tokens.size(), static_cast<int32_t>(GgufTokenType::kNormal));
  const json::value* listed = config.if_contains("added_tokens_decoder");
  for (int i = 0; i < kReservedTokens; ++i) {
    const std::string id = std::to_string(vocab.tokens.size());
    const json::value* token =
        listed && listed->is_object() ? listed->get_object().if_contains(id) : nullptr;
    const json::value* content =
        token && token->is_object() ? token->get_object().if_contains("content") : nullptr;
    vocab.tokens.push_back(content && content->is_string()
                               ? std::string(View(content->get_string()))
                               : "<|reserved_token_" + id + "|>");
    vocab.token_types.push_back(static_cast<int32_t>(GgufTokenType::kControl));
  }
  vocab.add_bos = vocab.add_eos = false;
  return vocab;
}

}  // namespace banyan::text
