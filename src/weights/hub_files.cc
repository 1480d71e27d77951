// SPDX-License-Identifier: Apache-2.0
#include "weights/hub_files.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>

#include "weights/shard_name.h"

namespace banyan::weights {
namespace {

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

// The model that a file belongs to: its name without ".gguf" and the number of its part.
std::string ModelOf(const std::string& name) {
  const auto part = ParseShardName(name, ".gguf");
  return part ? part->stem : name.substr(0, name.size() - 5);
}

// Does `model` carry the mark `quant`, as a whole word: "x-Q4_K.gguf" is not a Q4_K_M.
bool HasMark(std::string_view model, std::string_view quant) {
  const std::string text = Lower(model), mark = Lower(quant);
  for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + 1)) {
    const auto inside = [&](std::size_t i) {
      return i < text.size() &&
             (std::isalnum(static_cast<unsigned char>(text[i])) != 0 || text[i] == '_');
    };
    if (!inside(at + mark.size()) && (at == 0 || !inside(at - 1))) return true;
  }
  return false;
}

}  // namespace

bool IsSupportFile(std::string_view name) {
  static constexpr std::array<std::string_view, 16> kNames{"config.json",
                                                           "generation_config.json",
                                                           "tokenizer.json",
                                                           "tokenizer.model",
                                                           "tokenizer_config.json",
                                                           "special_tokens_map.json",
                                                           "added_tokens.json",
                                                           "vocab.json",
                                                           "vocab.txt",
                                                           "merges.txt",
                                                           "chat_template.jinja",
                                                           "chat_template.json",
                                                           "model.safetensors",
                                                           "tekken.json",
                                                           "tiktoken.model",
                                                           "model.safetensors.index.json"};
  if (std::ranges::find(kNames, name) != kNames.end()) return true;
  return name.starts_with("additional_chat_templates/") && name.ends_with(".jinja") &&
         name.find("..") == std::string_view::npos;
}

StatusOr<std::vector<std::string>> SelectGguf(const std::vector<std::string>& names,
                                              std::string_view quant) {
  std::map<std::string, std::vector<std::string>> models;
  for (const std::string& name : names) {
    const std::string lower = Lower(name);
    // Vision projectors and importance matrices lie beside the models.
    if (!lower.ends_with(".gguf") || lower.find("mmproj") != std::string::npos ||
        lower.find("imatrix") != std::string::npos)
      continue;
    models[ModelOf(name)].push_back(name);
  }
  if (models.empty()) return NotFound("has no GGUF file");
  std::vector<std::string> matching, all;
  for (auto& [model, files] : models) {
    std::ranges::sort(files);
    all.push_back(model.substr(model.rfind('/') + 1));
    if (quant.empty() || HasMark(model, quant)) matching.push_back(model);
  }
  if (matching.size() == 1) return models[matching[0]];
  const std::string list = fmt::format("{}", fmt::join(all, ", "));
  if (matching.empty()) return NotFound("has no GGUF file marked '{}', only {}", quant, list);
  return InvalidArgument("has several GGUF files; add one's mark after a colon: {}", list);
}

}  // namespace banyan::weights
