// SPDX-License-Identifier: Apache-2.0
// For tests of tokenizers: the shared data's files, and hashes of ids.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

#include "text/model_files.h"
#include "text/tokenizer.h"

namespace banyan::text {

inline const std::string kShared = std::string(BANYAN_SOURCE_DIR) + "/../shared/data";

// FNV-1a, as tools/make_token_goldens.py has it.
inline std::string HashOf(std::span<const TokenId> ids) {
  uint64_t hash = 0xCBF29CE484222325;
  for (TokenId id : ids)
    for (int shift = 0; shift < 32; shift += 8)
      hash = (hash ^ ((static_cast<uint32_t>(id) >> shift) & 0xFF)) * 0x100000001B3;
  return fmt::format("{:016x}", hash);
}

// A shared tokenizer's tokenizer.json; empty without the data, or without xz.
inline std::string SharedTokenizerJson(const std::string& name) {
  const char* plain = name == "qwen3" ? "/models/tiny-random-qwen3/tokenizer.json" : nullptr;
  if (plain) return ReadFileIfAny(kShared + plain)->value_or("");
  std::string json;
  std::FILE* pipe =
      popen(("xz -dc " + kShared + "/tokenizers/" + name + "/tokenizer.json.xz").c_str(), "r");
  if (!pipe) return json;
  char buffer[65536];
  for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) json.append(buffer, n);
  pclose(pipe);
  return json;
}

}  // namespace banyan::text
