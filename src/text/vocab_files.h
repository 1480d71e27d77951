// SPDX-License-Identifier: Apache-2.0
// Byte-level BPE vocabularies in the forms that folders without a tokenizer.json have: vocab.json
// with merges.txt, and the ranks of a tiktoken file. What the text is cut by stands in neither: the
// tokenizer's class says it, and an unknown class is refused by name.
#pragma once

#include <string_view>

#include "base/json.h"
#include "base/status.h"
#include "text/gguf_vocab.h"

namespace banyan::text {

// As transformers' GPT2Tokenizer and Qwen2Tokenizer read them; `config` is tokenizer_config.json,
// and the result's is it with what the class adds. `model_type` is config.json's, for folders that
// name no class.
StatusOr<GgufTokenizerFiles> TokenizerFromVocabAndMerges(std::string_view vocab,
                                                         std::string_view merges,
                                                         json::object config,
                                                         std::string_view model_type);

// tiktoken.model of Moonshot's models (class TikTokenTokenizer): lines of a token in base64 and its
// rank. The 256 special tokens behind them are those of the config's added_tokens_decoder, or
// reserved.
StatusOr<GgufVocab> ParseTiktokenModel(std::string_view ranks, const json::object& config);

}  // namespace banyan::text
