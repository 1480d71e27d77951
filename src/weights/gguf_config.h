// SPDX-License-Identifier: Apache-2.0
// GGUF metadata as a Hugging Face config.
//
// The keys are those of the family's own config.json (model_type, hidden_size or n_embd, ...), so
// that a family is parsed by one function whatever the file. What GGUF does not say because its
// architecture implies it (the activation, parallel blocks) comes from a table by architecture;
// attention_bias, mlp_bias and tie_word_embeddings from the tensors that are there. Beyond Hugging
// Face's keys:
//   rope_interleaved  true: the file's q and k rows are in the order for rotating neighbouring
//   pairs
//                     (2i, 2i+1), as conversion permutes those of llama and its relatives;
//                     false: halves (i, i + d/2). Always present where the architecture rotates.
// rope_freqs.weight and rope_factors_{long,short}.weight become the longrope factors of
// `rope_parameters` and leave the list of tensors. Per-layer arrays whose items are all equal
// become one number. Other keys of one family: Checkpoint::gguf().
//
// An architecture that the table lacks gives a config with `architectures` = [its GGUF name] and
// the common keys, for the model registry to refuse by name.
#pragma once

#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "weights/checkpoint.h"
#include "weights/gguf.h"

namespace banyan::weights {

// kInvalidArgument names the key that is missing or of the wrong type. Removes from `tensors` (not
// necessarily sorted) those that became part of the config.
StatusOr<json::object> TranslateGgufConfig(const GgufMetadata& metadata,
                                           std::vector<NamedTensor>& tensors);

}  // namespace banyan::weights
