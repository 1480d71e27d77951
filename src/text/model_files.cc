// SPDX-License-Identifier: Apache-2.0
#include "text/model_files.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <utility>

namespace banyan::text {
namespace {

// Extra special tokens with names get a place that no list takes from them.
void NameTokens(json::object& config) {
  const json::value* extra = config.if_contains("extra_special_tokens");
  if (!extra || !extra->is_object()) return;
  const json::object tokens = extra->get_object();
  json::value& named = config["model_specific_special_tokens"];
  if (!named.is_object()) named.emplace_object();
  for (const auto& [name, token] : tokens) named.get_object()[name] = token;
  config.stable_erase("extra_special_tokens");
}

// Puts the tokens that are not there behind those of the config, which may have no list.
void AddToList(json::array& tokens, json::value& list) {
  if (!list.is_array()) list.emplace_array();
  json::array& all = list.get_array();
  for (json::value& token : tokens) {
    if (token.is_object()) token.get_object()["special"] = true;
    if (std::find(all.begin(), all.end(), token) == all.end()) all.push_back(std::move(token));
  }
}

}  // namespace

StatusOr<std::optional<std::string>> ReadFileIfAny(const std::string& path, int64_t limit) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return std::optional<std::string>();
  const auto size = std::filesystem::file_size(path, error);
  if (error) return InvalidArgument("{}: {}", path, error.message());
  if (size > static_cast<uintmax_t>(limit))
    return OutOfRange("{}: {} bytes, more than the {} allowed", path, size, limit);
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                       &std::fclose);
  if (!file) return PermissionDenied("{}: cannot be opened", path);
  std::string bytes(size, '\0');
  bytes.resize(std::fread(bytes.data(), 1, bytes.size(), file.get()));
  if (bytes.size() != size) return DataLoss("{}: could not be read whole", path);
  return std::optional<std::string>(std::move(bytes));
}

StatusOr<json::object> ReadTokenizerConfig(const std::string& folder) {
  json::object config;
  BANYAN_ASSIGN_OR_RETURN(auto text, ReadFileIfAny(folder + "/tokenizer_config.json"));
  if (text) {
    BANYAN_ASSIGN_OR_RETURN(config, ParseJsonObject(*text, folder + "/tokenizer_config.json"));
  }
  // Configs that list their added tokens are complete; beside older ones two files say more.
  if (config.contains("added_tokens_decoder")) return config;
  // The list's older name.
  if (const json::value* list = config.if_contains("additional_special_tokens")) {
    if (!config.contains("extra_special_tokens"))
      config["extra_special_tokens"] = json::value(*list);
    config.stable_erase("additional_special_tokens");
  }
  BANYAN_ASSIGN_OR_RETURN(text, ReadFileIfAny(folder + "/special_tokens_map.json"));
  if (text) {
    BANYAN_ASSIGN_OR_RETURN(json::object map,
                            ParseJsonObject(*text, folder + "/special_tokens_map.json"));
    // Of the extra tokens, those with names stay beside the map's, and lists are joined.
    NameTokens(config);
    for (auto& [name, token] : map) {
      if (name == "extra_special_tokens" && token.is_array()) {
        AddToList(token.get_array(), config[name]);
        continue;
      }
      if (name != "extra_special_tokens" && token.is_object()) token.get_object()["special"] = true;
      config[name] = std::move(token);
    }
    NameTokens(config);
  }
  BANYAN_ASSIGN_OR_RETURN(text, ReadFileIfAny(folder + "/added_tokens.json"));
  if (text) {
    BANYAN_ASSIGN_OR_RETURN(config["added_tokens.json"],
                            ParseJsonObject(*text, folder + "/added_tokens.json"));
  }
  return config;
}

json::object SpecialTokens(const json::object& config) {
  json::object tokens;
  for (const auto& [name, value] : config) {
    if (!name.ends_with("_token")) continue;
    const json::value* content = &value;
    if (value.is_object()) content = value.get_object().if_contains("content");
    if (content && content->is_string()) tokens[name] = *content;
  }
  return tokens;
}

}  // namespace banyan::text
