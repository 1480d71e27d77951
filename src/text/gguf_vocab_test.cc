// SPDX-License-Identifier: Apache-2.0
#include "text/gguf_vocab.h"

#include <gtest/gtest.h>

#include <limits>

#include "text/bpe_merges.h"
#include "text/gguf_pretokenizers.h"
#include "text/sentencepiece.h"
#include "text/tokenizer.h"

namespace banyan::text {
namespace {

using Ids = std::vector<TokenId>;

std::string Byte(int byte) { return fmt::format("<0x{:02X}>", byte); }

// unk, bos, eos, 256 bytes, then pieces of which "▁ab" is reached only by the best score first.
GgufVocab Spm() {
  GgufVocab vocab;
  vocab.model = "llama";
  const auto add = [&](std::string token, float score, GgufTokenType type) {
    vocab.tokens.push_back(std::move(token));
    vocab.scores.push_back(score);
    vocab.token_types.push_back(static_cast<int32_t>(type));
  };
  add("<unk>", 0, GgufTokenType::kUnknown);
  add("<s>", 0, GgufTokenType::kControl);
  add("</s>", 0, GgufTokenType::kControl);
  for (int byte = 0; byte < 256; ++byte) add(Byte(byte), 0, GgufTokenType::kByte);
  float score = 0;
  for (const char* piece : {"ab", "▁a", "bc", "▁ab", "▁", "a", "b", "c"})
    add(piece, --score, GgufTokenType::kNormal);
  add("<tool>", 0, GgufTokenType::kUserDefined);
  vocab.bos_id = 1;
  vocab.eos_id = 2;
  vocab.unk_id = 0;
  return vocab;
}

std::shared_ptr<const Tokenizer> Make(const GgufVocab& vocab) {
  auto tokenizer = Tokenizer::FromGgufVocab(vocab);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *tokenizer : nullptr;
}

TEST(GgufVocabTest, SentencePieceMergesByScoreWithByteFallback) {
  auto tokenizer = Make(Spm());
  ASSERT_TRUE(tokenizer);
  // "▁abc": "ab" is the best pair, then "▁ab".
  EXPECT_EQ(*tokenizer->Encode("abc", true), (Ids{1, 262, 266}));
  EXPECT_EQ(*tokenizer->Encode("é", false), (Ids{263, 3 + 0xC3, 3 + 0xA9}));
  EXPECT_EQ(*tokenizer->Encode("a<tool>a", false), (Ids{260, 267, 260}));
  EXPECT_EQ(*tokenizer->Decode(Ids{1, 262, 266}, true), "abc");
  EXPECT_TRUE(tokenizer->IsSpecial(1));
  EXPECT_FALSE(tokenizer->IsSpecial(267));
  GgufVocab bare = Spm();
  bare.add_space_prefix = false;
  bare.add_bos = false;
  bare.add_eos = true;
  EXPECT_EQ(*Make(bare)->Encode("abc", true), (Ids{259, 266, 2}));
}

// Were each beginning of the long pieces looked up, this would take hours.
TEST(GgufVocabTest, LongPiecesAreNoMoreWorkThanTheyAreLong) {
  const std::string head(5 << 20, 'x'), tail(5 << 20, 'y'), whole = head + tail;
  const std::vector<ScoredPiece> pieces = {{"a", 0, true},    {"b", 0, true},   {"ab", -1, true},
                                           {whole, -3, true}, {head, 0, true},  {tail, 0, true},
                                           {"aab", -2, true}, {"aa", -3, true}, {"ba", -1, false}};
  const auto merges = MergesByScore(pieces);
  ASSERT_TRUE(merges.ok()) << merges.status();
  using Merge = std::pair<std::string_view, std::string_view>;
  ASSERT_EQ(merges->size(), 5u);
  EXPECT_EQ(merges->at(0), (Merge{"a", "b"}));
  EXPECT_EQ(merges->at(1), (Merge{"a", "ab"}));
  EXPECT_EQ(merges->at(2), (Merge{"aa", "b"}));
  EXPECT_TRUE(merges->at(3) == (Merge{head, tail}));
  EXPECT_EQ(merges->at(4), (Merge{"a", "a"}));

  // Each of these is the join of any two whose lengths add up: as text, more than there is memory.
  const std::string same(8192, 'z');
  std::vector<ScoredPiece> chain;
  for (std::size_t size = 1; size <= same.size(); ++size)
    chain.push_back({std::string_view(same).substr(0, size), 0, true});
  EXPECT_EQ(MergesByScore(chain).status().code(), StatusCode::kInvalidArgument);
}

GgufVocab Bpe(std::string pre) {
  GgufVocab vocab;
  vocab.model = "gpt2";
  vocab.pre = std::move(pre);
  vocab.tokens = {"<|end|>", "a", "b", "1", "2", "ab", "12", "Ġ", "Ġab"};
  vocab.token_types = {3, 1, 1, 1, 1, 1, 1, 1, 1};
  vocab.merges = {"a b", "1 2", "Ġ ab"};
  vocab.eos_id = 0;
  return vocab;
}

TEST(GgufVocabTest, BpeSplitsAsItsPretokenizerSays) {
  EXPECT_EQ(*Make(Bpe("gpt-2"))->Encode("ab ab12", true), (Ids{5, 8, 6}));
  EXPECT_EQ(*Make(Bpe("smollm"))->Encode("ab ab12<|end|>", true), (Ids{5, 8, 3, 4, 0}));
  EXPECT_EQ(*Make(Bpe("qwen2"))->Encode("ab ab12", true), (Ids{5, 8, 3, 4}));
  EXPECT_EQ(*Make(Bpe("llama-bpe"))->Encode("ab ab12", true), (Ids{5, 8, 6}));
}

TEST(GgufVocabTest, ControlTextsAreControlTokensWhateverTheirType) {
  GgufVocab vocab = Bpe("gpt-2");
  const auto ordinary = static_cast<TokenId>(vocab.tokens.size());
  for (const char* text : {"<|fim_pad|>", "<PAD>", "[PAD]", "<PADS>"}) vocab.tokens.push_back(text);
  vocab.token_types.resize(vocab.tokens.size(), 1);
  auto tokenizer = Make(vocab);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(*tokenizer->Encode("a<PAD>b[PAD]", false), (Ids{1, ordinary + 1, 2, ordinary + 2}));
  EXPECT_TRUE(tokenizer->IsSpecial(ordinary));
  EXPECT_FALSE(tokenizer->IsSpecial(ordinary + 3));
}

// The names that gguf_splits_test does not go through: of newer files, and of plain text.
TEST(GgufVocabTest, OtherPretokenizers) {
  GgufVocab vocab = Bpe("k2-horizon");
  EXPECT_EQ(*Make(vocab)->Encode("ab ab12", true), (Ids{5, 8, 6}));
  for (const char* name : {"gemma4", "granite-embed-multi-311m", "sarvam-moe"}) {
    vocab = Bpe(name);
    vocab.tokens = {"<|end|>", "a", "b", "\n", "▁", "ab", "▁a", "\n\n", "<bos>"};
    vocab.token_types = {3, 1, 1, 1, 1, 1, 1, 1, 3};
    vocab.merges = {"a b", "▁ a", "\n \n"};
    EXPECT_EQ(*Make(vocab)->Encode("ab a\n\nb", false), (Ids{5, 6, 7, 2})) << name;
    EXPECT_EQ(*Make(vocab)->Decode(Ids{5, 6, 7, 2}, false), "ab a\n\nb") << name;
  }
  // Gemma 4's files say that there is no BOS, and are wrong.
  vocab.model = "gemma4";
  vocab.pre.clear();
  vocab.bos_id = 8;
  vocab.add_bos = false;
  EXPECT_EQ(*Make(vocab)->Encode("ab", true), (Ids{8, 5}));
}

TEST(GgufVocabTest, ComposesWhereTheModelDoes) {
  GgufVocab vocab = Bpe("qwen2");
  for (const char* token : {"Ã", "©", "Ã©", "e", "Ì", "ģ"}) vocab.tokens.push_back(token);
  vocab.token_types.resize(vocab.tokens.size(), 1);
  vocab.merges.push_back("Ã ©");
  const std::string decomposed = "e\u0301";
  EXPECT_EQ(*Make(vocab)->Encode(decomposed, false), (Ids{11}));
  vocab.pre = "smollm";
  EXPECT_EQ(*Make(vocab)->Encode(decomposed, false), (Ids{12, 13, 14}));
}

TEST(GgufVocabTest, BpeHasNoSpacePrefixAndNoSeparator) {
  GgufVocab vocab = Bpe("gpt-2");
  vocab.add_space_prefix = true;  // some converters say so; llama.cpp does not heed it
  vocab.sep_id = 0;
  EXPECT_EQ(*Make(vocab)->Encode("ab ab12", true), (Ids{5, 8, 6}));
  EXPECT_EQ(*Make(vocab)->Decode(Ids{8}, true), " ab");
}

// An ordinary token named for padding and the like stays one; an end of turn typed as ordinary is
// none.
TEST(GgufVocabTest, TokensAreWhatTheyAreForWhateverTheFileTypesThem) {
  GgufVocab vocab = Bpe("gpt-2");
  vocab.pad_id = 1;
  vocab.unk_id = 2;
  vocab.tokens.push_back("<|im_end|>");
  vocab.token_types.push_back(1);
  auto tokenizer = Make(vocab);
  EXPECT_EQ(*tokenizer->Encode("ab<|im_end|>ab", false), (Ids{5, 9, 5}));
  EXPECT_FALSE(tokenizer->IsSpecial(1));
  EXPECT_FALSE(tokenizer->IsSpecial(2));
  EXPECT_TRUE(tokenizer->IsSpecial(9));
}

TEST(GgufVocabTest, SpecialTokensOfPhi3TakeTheSpacesAfterThem) {
  GgufVocab vocab = Spm();
  vocab.tokens.push_back("<|end|>");
  vocab.scores.push_back(0);
  vocab.token_types.push_back(3);
  EXPECT_EQ(*Make(vocab)->Encode("<|end|> \nab", false), (Ids{268, 263, 263, 3 + '\n', 259}));
  for (const auto& [architecture, name] :
       {std::pair("phi3", "Mini"), std::pair("llama", "Phi-3 mini")}) {
    vocab.architecture = architecture;
    vocab.name = name;
    EXPECT_EQ(*Make(vocab)->Encode("<|end|> \nab", false), (Ids{268, 262})) << name;
    EXPECT_EQ(*Make(vocab)->Encode("<s> ab", false), (Ids{1, 263, 262})) << name;
  }
}

TEST(GgufVocabTest, RefusesByName) {
  const auto message = [](const GgufVocab& vocab) {
    return Message(Tokenizer::FromGgufVocab(vocab).status());
  };
  EXPECT_NE(message(Bpe("no-such")).find("unknown pre-tokenizer \"no-such\""), std::string::npos);
  EXPECT_NE(message(Bpe("")).find("tokenizer.ggml.pre"), std::string::npos);
  GgufVocab vocab = Bpe("gpt-2");
  vocab.model = "rwkv";
  EXPECT_NE(message(vocab).find("\"rwkv\""), std::string::npos);
  for (const char* other :
       {"none", "no_vocab", "plamo2", "plamo3", "hybriddna", "whitespace", "x"}) {
    vocab.model = other;
    EXPECT_NE(message(vocab).find(fmt::format("\"{}\"", other)), std::string::npos);
  }
  for (const char* encoders : {"whitespace", "mmbert"})
    EXPECT_NE(message(Bpe(encoders)).find(fmt::format("\"{}\"", encoders)), std::string::npos);
  vocab = Bpe("gpt-2");
  vocab.tokens[2] = "a";
  EXPECT_NE(message(vocab).find("is there twice"), std::string::npos);
  vocab.tokens[2] = "\xFF";
  EXPECT_NE(message(vocab).find("token 2 is not UTF-8"), std::string::npos);
  vocab = Bpe("gpt-2");
  vocab.merges = {"ab"};
  EXPECT_NE(message(vocab).find("is not two tokens"), std::string::npos);
  vocab = Spm();
  vocab.scores.clear();
  EXPECT_NE(message(vocab).find("tokenizer.ggml.scores"), std::string::npos);
  vocab = Spm();
  vocab.scores[261] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_NE(message(vocab).find("token 261 is not a finite number"), std::string::npos);
  for (const char* model : {"t5", "bert"}) {
    vocab = Spm();
    vocab.model = model;
    vocab.unk_id = 300;
    EXPECT_NE(message(vocab).find("unknown_token_id: 300 is no token"), std::string::npos);
  }
  EXPECT_NE(message({}).find("tokenizer.ggml.tokens"), std::string::npos);
}

TEST(GgufVocabTest, WordPiece) {
  GgufVocab vocab;
  vocab.model = "bert";
  vocab.tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁un", "able", "▁able"};
  vocab.token_types = {3, 3, 3, 3, 1, 1, 1};
  vocab.unk_id = 1;
  vocab.bos_id = 2;
  vocab.sep_id = 3;
  auto tokenizer = Make(vocab);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(*tokenizer->Encode("Unable able xyz", true), (Ids{2, 4, 5, 6, 1, 3}));
  // Its texts always stand between the two.
  vocab.add_bos = false;
  vocab.add_eos = false;
  EXPECT_EQ(*Make(vocab)->Encode("able", true), (Ids{2, 6, 3}));
}

TEST(GgufVocabTest, WordPieceKeepsCaseAndAccentsWhereTheFileSaysSo) {
  GgufVocab vocab;
  vocab.model = "bert";
  vocab.tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁un", "▁Un", "▁ùn"};
  vocab.token_types = {3, 3, 3, 3, 1, 1, 1};
  vocab.unk_id = 1;
  const auto ids = [&] { return *Make(vocab)->Encode("un Un ùn Ùn", false); };
  EXPECT_EQ(ids(), (Ids{4, 4, 4, 4}));
  vocab.strip_accents = false;
  EXPECT_EQ(ids(), (Ids{4, 4, 6, 6}));
  vocab.strip_accents = std::nullopt;
  vocab.lowercase = false;
  EXPECT_EQ(ids(), (Ids{4, 5, 6, 1}));
}

TEST(GgufVocabTest, Unigram) {
  GgufVocab vocab;
  vocab.model = "t5";
  vocab.tokens = {"<pad>", "</s>", "<unk>", "▁", "a", "b", "▁ab"};
  vocab.scores = {0, 0, 0, -2, -3, -3, -4};
  vocab.token_types = {3, 3, 2, 1, 1, 1, 1};
  vocab.remove_extra_whitespaces = true;
  auto tokenizer = Make(vocab);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(*tokenizer->Encode(" ab   ba", true), (Ids{6, 3, 5, 4, 1}));
  // Spaces only: a line's end stays, within a text as at its end.
  EXPECT_EQ(*tokenizer->Encode("ab \n ab\n", false), (Ids{6, 3, 2, 6, 2}));
  vocab.remove_extra_whitespaces = std::nullopt;
  EXPECT_EQ(*Make(vocab)->Encode("ab  ab", false), (Ids{4, 5, 3, 6}));
}

TEST(GgufVocabTest, UnigramWithBytesAndPiecesOfSeveralWords) {
  GgufVocab vocab;
  vocab.model = "t5";
  vocab.tokens = {"<pad>", "</s>", "<unk>", "▁", "a", "b", "▁ab", "a▁b"};
  vocab.scores = {0, 0, 0, -2, -3, -3, -4, -1};
  vocab.token_types = {3, 3, 2, 1, 1, 1, 1, 1};
  for (int byte = 0; byte < 256; ++byte) {
    vocab.tokens.push_back(Byte(byte));
    vocab.scores.push_back(-20);
    vocab.token_types.push_back(static_cast<int32_t>(GgufTokenType::kByte));
  }
  vocab.add_space_prefix = true;
  auto tokenizer = Make(vocab);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(*tokenizer->Encode("a b", false), (Ids{3, 7}));
  EXPECT_EQ(*tokenizer->Encode(" é", false), (Ids{3, 3, 8 + 0xC3, 8 + 0xA9}));
  EXPECT_EQ(*tokenizer->Decode(Ids{3, 8 + 0xC3, 8 + 0xA9}, false), "é");
}

TEST(GgufVocabTest, SentencePieceTidiesSpacesIfItsModelSaysSo) {
  GgufVocab vocab = Spm();
  vocab.remove_extra_whitespaces = true;
  EXPECT_EQ(*Make(vocab)->Encode("  ab   c ", false), (Ids{262, 263, 266}));
  EXPECT_EQ(*Make(vocab)->Encode("ab▁c▁ ▁", false), (Ids{262, 263, 266}));  // its mark as well
  EXPECT_TRUE(Make(vocab)->Encode("  ▁", false)->empty());
  EXPECT_EQ(*Make(vocab)->Encode(" ▁c", false), *Make(vocab)->Encode("▁c", false));
}

// By the square of the run it would not come back.
TEST(GgufVocabTest, ALongRunOfSpacesIsTidied) {
  GgufVocab vocab = Spm();
  vocab.remove_extra_whitespaces = true;
  const std::string run(1'000'000, ' ');
  EXPECT_EQ(*Make(vocab)->Encode("ab" + run + "c", false), (Ids{262, 263, 266}));
  EXPECT_EQ(*Make(vocab)->Encode("ab c" + run, false), (Ids{262, 263, 266}));
  EXPECT_EQ(*Make(vocab)->Encode(run + "ab c", false), (Ids{262, 263, 266}));
}

TEST(SentencePieceTest, RefusesCutAndForeignFiles) {
  for (std::string_view bytes : {"", "\n", "\x0A\x05\x0A\x01", "{\"a\": 1}", "\xFF\xFF\xFF\xFF"})
    EXPECT_FALSE(ParseSentencePieceModel(bytes).ok());
}

TEST(SentencePieceTest, RefusesSpacesThatItCannotMark) {
  using std::string_view_literals::operator""sv;
  const auto piece =
      "\x0A\x03\x0A\x01"
      "a"sv;
  const auto suffix = ParseSentencePieceModel(std::string(piece) + "\x12\x03\xC0\x01\x01");
  EXPECT_NE(Message(suffix.status()).find("at the end of words"), std::string::npos);
  const auto plain =
      ParseSentencePieceModel(std::string(piece) + std::string("\x1A\x02\x28\x00"sv));
  EXPECT_NE(Message(plain.status()).find("stay spaces"), std::string::npos);
}

TEST(SentencePieceTest, ReadsPiecesAndSpecs) {
  using std::string_view_literals::operator""sv;
  // Two pieces (the second with score -1.5 and of type BYTE), model_type BPE, add_dummy_prefix off.
  const auto model = ParseSentencePieceModel(
      "\x0A\x03\x0A\x01"
      "a"
      "\x0A\x0A\x0A\x01"
      "b"
      "\x15\x00\x00\xC0\xBF\x18\x06"
      "\x12\x02\x18\x02\x1A\x02\x18\x00"sv);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->model, "llama");
  EXPECT_EQ(model->tokens, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(model->scores, (std::vector<float>{0, -1.5}));
  EXPECT_EQ(model->token_types, (std::vector<int32_t>{1, 6}));
  EXPECT_EQ(model->add_space_prefix, false);
}

}  // namespace
}  // namespace banyan::text
