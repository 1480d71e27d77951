// SPDX-License-Identifier: Apache-2.0
#include "serve/openai/text_offsets.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace banyan::serve {
namespace {

using text::TokenId;

// Llama 2's form: a token before each text, a space before its first word, bytes as tokens.
std::shared_ptr<const text::Tokenizer> Llama() {
  const auto tokenizer = text::Tokenizer::FromJson(R"({
      "version": "1.0", "truncation": null, "padding": null,
      "added_tokens": [
        {"id": 0, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false,
         "normalized": false, "special": true},
        {"id": 1, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
         "normalized": false, "special": true},
        {"id": 2, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false,
         "normalized": false, "special": true}],
      "normalizer": {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
      "pre_tokenizer": null, "post_processor": null,
      "decoder": {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
        {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
      "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
                "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2, "▁On": 3, "ce": 4, "▁á": 5,
                          "<0xC3>": 6, "<0xA9>": 7},
                "merges": []}})",
                                                   {{"bos_token", "<s>"}});
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *tokenizer;
}

struct Offsets {
  std::vector<int64_t> prompt, output;
  bool operator==(const Offsets&) const = default;
};

Offsets Of(std::string echo, const std::vector<TokenId>& prompt, const std::vector<TokenId>& output,
           bool skip_special = true) {
  TextOffsets offsets(Llama(), skip_special, prompt, std::move(echo));
  Offsets out;
  for (TokenId id : prompt) out.prompt.push_back(offsets.OfPrompt(id));
  for (TokenId id : output) out.output.push_back(offsets.OfOutput(id));
  return out;
}

TEST(TextOffsets, WhatIsNotInTheTextTakesNoRoom) {
  // "Once á" and then " On", of which neither <s> nor the first space is in the text.
  EXPECT_EQ(Of("Once á", {1, 3, 4, 5}, {3, 2, 2}), (Offsets{{0, 0, 2, 4}, {6, 9, 9}}));
  // The same where special tokens are shown.
  EXPECT_EQ(Of("Once á", {1, 3, 4, 5}, {3, 2, 2}, false), (Offsets{{0, 0, 2, 4}, {6, 9, 13}}));
  // Special tokens that are part of the text.
  EXPECT_EQ(Of("<s> Once", {1, 3, 4}, {}), (Offsets{{0, 3, 6}, {}}));
}

TEST(TextOffsets, CharactersAreCountedAndBeginWithTheirFirstByte) {
  EXPECT_EQ(Of("", {1, 3}, {5, 6, 7, 4}).output, (std::vector<int64_t>{0, 2, 2, 3}));
  EXPECT_EQ(Of("Onéé", {1, 3, 6, 7, 6, 7}, {}).prompt, (std::vector<int64_t>{0, 0, 2, 2, 3, 3}));
  // A run of bytes, of which nothing is certain before its end.
  EXPECT_EQ(Of("", {1, 3}, {6, 7, 6, 7, 4, 4}).output, (std::vector<int64_t>{0, 0, 1, 1, 2, 4}));
  EXPECT_EQ(Of("", {1, 3}, {4, 6, 7, 2, 6, 7}).output, (std::vector<int64_t>{0, 2, 2, 3, 3, 3}));
  // The prompt ends within a character.
  EXPECT_EQ(Of("", {1, 3, 6}, {7, 6, 7, 4}).output, (std::vector<int64_t>{0, 1, 1, 2}));
}

TEST(TextOffsets, TheOutputBeginsWhereTheEchoEnds) {
  // Whatever tokenizing has made of the prompt.
  EXPECT_EQ(Of("ONCE", {1, 0}, {4}), (Offsets{{0, 0}, {4}}));
}

}  // namespace
}  // namespace banyan::serve
