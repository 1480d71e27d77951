// SPDX-License-Identifier: Apache-2.0
// What GGUF metadata says about layers with a state, as keys of Hugging Face's configs.
#pragma once

#include <string_view>

#include "base/json.h"
#include "base/status.h"
#include "weights/gguf.h"
#include "weights/gguf_arch.h"

namespace banyan::weights {

// Adds to `config`, which has the common keys: the sizes of the recurrences, and which layer is of
// which kind (an array of key heads that is 0 where a layer does not attend).
Status AddHybridKeys(const GgufMetadata& metadata, const GgufArch& arch, json::object& config);

// What a size of a recurrence in such a config comes from, after "{arch}."; empty if it is none.
std::string_view HybridGgufKey(const GgufArch& arch, std::string_view config_key);

}  // namespace banyan::weights
