// SPDX-License-Identifier: Apache-2.0
// Reads a sentencepiece model (tokenizer.model, the protobuf of sentencepiece_model.proto) for
// folders that have no tokenizer.json. Its BPE and Unigram vocabularies have the same content as
// GGUF's "llama" and "t5" ones, so that is what it is turned into.
#pragma once

#include <string_view>

#include "base/status.h"
#include "text/gguf_vocab.h"

namespace banyan::text {

StatusOr<GgufVocab> ParseSentencePieceModel(std::string_view bytes);

}  // namespace banyan::text
