// SPDX-License-Identifier: Apache-2.0
// GGUF's metadata keys and Hugging Face's: which is which, and which ones an architecture cannot do
// without.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"
#include "weights/gguf.h"
#include "weights/gguf_arch.h"

namespace banyan::weights {

inline json::string_view JsonKey(std::string_view text) { return {text.data(), text.size()}; }

struct GgufKey {
  enum class Kind : unsigned char { kInt, kFloat, kBool, kInts };  // kInts: one, or one per layer
  std::string_view gguf;                                           // after "{arch}."
  std::string_view config;  // the common name; a family may have one of its own
  Kind kind;
};

// The keys that all architectures share.
std::span<const GgufKey> CommonGgufKeys();
// The family's own name of a common key; empty where the family has none. `arch` may be null.
std::string_view OwnConfigKey(const GgufArch* arch, std::string_view common);

// kInvalidArgument, naming the key, if one is missing that llama.cpp cannot do without either and
// for which a family's config class would have a default: an epsilon, a window, a scale. Nothing is
// required of an unknown architecture.
Status CheckGgufKeys(const GgufMetadata& metadata);

// A message about a translated config with the keys that it names as they are in the file:
// 'llama.embedding_length' for 'hidden_size'.
std::string InGgufKeys(const GgufMetadata& metadata, std::string_view message);

}  // namespace banyan::weights
