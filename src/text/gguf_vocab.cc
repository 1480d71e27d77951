// SPDX-License-Identifier: Apache-2.0
#include "text/gguf_vocab.h"

#include "text/tokenizer.h"

namespace banyan::text {

StatusOr<GgufTokenizerFiles> TokenizerFromGguf(const GgufVocab& vocab) {
  return Unimplemented("a GGUF vocabulary of model \"{}\"", vocab.model);
}

StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::FromGgufVocab(const GgufVocab& vocab) {
  BANYAN_ASSIGN_OR_RETURN(GgufTokenizerFiles files, TokenizerFromGguf(vocab));
  return FromJson(files.tokenizer_json, files.config);
}

}  // namespace banyan::text
