// SPDX-License-Identifier: Apache-2.0
// config.json as transformers writes it.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace banyan::weights {

// Parses the text of a config.json; `where` names it in errors. Python writes numbers that JSON
// lacks as bare NaN, Infinity, -Infinity; they are read in the form transformers 5 gives them,
// {"__float__": "Infinity"}.
StatusOr<json::object> ParseConfigJson(std::string_view text, const std::string& where);

// kUnimplemented, naming the method, if the config says that the weights are quantized by a scheme
// without an implementation (fp8, awq, gptq, bitsandbytes, compressed-tensors, ...): all but
// BitNet's (weights/ternary.h).
Status CheckQuantization(const json::object& config, const std::string& where);

}  // namespace banyan::weights
