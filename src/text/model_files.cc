// SPDX-License-Identifier: Apache-2.0
#include "text/model_files.h"

#include <cstdio>
#include <filesystem>
#include <memory>
#include <utility>

namespace banyan::text {

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
    config.erase("additional_special_tokens");
  }
  BANYAN_ASSIGN_OR_RETURN(text, ReadFileIfAny(folder + "/special_tokens_map.json"));
  if (text) {
    BANYAN_ASSIGN_OR_RETURN(json::object map,
                            ParseJsonObject(*text, folder + "/special_tokens_map.json"));
    for (auto& [name, token] : map) {
      if (token.is_object()) token.get_object()["special"] = true;
      config[name] = std::move(token);
    }
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
