// SPDX-License-Identifier: Apache-2.0
// Which files of a repository serving needs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace banyan::weights {

// Configuration, tokenizer, templates, and the index or single file of the safetensors; not the
// shards, which the index names. Empty quantization and a repository without safetensors: the GGUF
// files of SelectGguf.
bool IsSupportFile(std::string_view name);

// The files of the GGUF model that `quant` names (every part of a split one, in order); without a
// name, of the only one. kNotFound, kInvalidArgument list what there is to choose from.
StatusOr<std::vector<std::string>> SelectGguf(const std::vector<std::string>& names,
                                              std::string_view quant);

}  // namespace banyan::weights
