// SPDX-License-Identifier: Apache-2.0
// What a GGUF architecture is called in Hugging Face's configs, and what its name implies.
#pragma once

#include <string_view>

namespace banyan::weights {

enum class RopePairing : unsigned char { kNone, kHalves, kNeighbours };

struct GgufArch {
  std::string_view name;          // general.architecture
  std::string_view architecture;  // config.json: architectures[0]
  std::string_view model_type;
  RopePairing pairing;  // llama.cpp's llama_model_rope_type: NEOX = halves, NORM = neighbours
  // Keys that differ from the common names (hidden_size, num_hidden_layers, rms_norm_eps, ...):
  // "common=own", separated by blanks; "common=" drops the key.
  std::string_view renames;
  std::string_view constants;  // JSON object: what GGUF leaves out because the architecture says it
};

// Null when unknown.
const GgufArch* FindGgufArch(std::string_view name);

}  // namespace banyan::weights
