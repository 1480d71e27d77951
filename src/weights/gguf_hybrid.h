// SPDX-License-Identifier: Apache-2.0
// What GGUF metadata says about layers with a state, as keys of Hugging Face's configs.
#pragma once

#include "base/json.h"
#include "base/status.h"
#include "weights/gguf.h"
#include "weights/gguf_arch.h"

namespace banyan::weights {

// Adds to `config`, which has the common keys: the sizes of the recurrences, and which layer is of
// which kind (an array of key heads that is 0 where a layer does not attend).
Status AddHybridKeys(const GgufMetadata& metadata, const GgufArch& arch, json::object& config);

}  // namespace banyan::weights
