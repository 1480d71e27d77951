// SPDX-License-Identifier: Apache-2.0
// generation_config.json: a model's own sampling defaults and end tokens.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "sched/sampling_params.h"

namespace banyan {

struct GenerationConfig {
  json::object json;             // the file; empty when the model has none
  std::vector<TokenId> end_ids;  // eos_token_id, one or a list
  SamplingParams sampling;       // SGLang's defaults, with what the file says instead
  // Keys of the file that change what transformers generates and nothing here, as in SGLang.
  std::vector<std::string> without_effect;
};

// Of `model_path` when it is a folder; a .gguf file has none. A file that is there and cannot be
// read is an error that names the key.
StatusOr<GenerationConfig> ReadGenerationConfig(const std::string& model_path);

// The same from the file's text.
StatusOr<GenerationConfig> ParseGenerationConfig(std::string_view text);

}  // namespace banyan
