// SPDX-License-Identifier: Apache-2.0
// The file names of a checkpoint in parts: "STEM-00002-of-00005.safetensors", likewise ".gguf".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace banyan::weights {

struct ShardName {
  std::string stem;
  int64_t number = 0;  // 1 to count, by convention; as written
  int64_t count = 0;

  std::string Format(std::string_view extension) const;
};

// Nothing if `name` is not of that form. `extension` has its dot; empty if `name` has none.
std::optional<ShardName> ParseShardName(std::string_view name, std::string_view extension);

}  // namespace banyan::weights
