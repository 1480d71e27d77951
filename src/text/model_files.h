// SPDX-License-Identifier: Apache-2.0
// The text files of a model folder: tokenizer_config.json and what belongs to it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace banyan::text {

inline constexpr int64_t kMaxTextFile = int64_t{1} << 30;

// The file's bytes; nullopt when there is no such file; an error when it cannot be read or is
// larger than `limit`.
StatusOr<std::optional<std::string>> ReadFileIfAny(const std::string& path,
                                                   int64_t limit = kMaxTextFile);

// tokenizer_config.json; where it does not list its added tokens, with special_tokens_map.json laid
// over it and added_tokens.json as its member of that name, as transformers reads older folders;
// empty when the folder has neither.
StatusOr<json::object> ReadTokenizerConfig(const std::string& folder);

// The special tokens of a tokenizer config as strings, by their names (bos_token, ...).
json::object SpecialTokens(const json::object& config);

}  // namespace banyan::text
