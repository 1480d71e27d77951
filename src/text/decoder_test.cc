// SPDX-License-Identifier: Apache-2.0
#include "text/decoder.h"

#include <gtest/gtest.h>

#include <random>

#include "text/decode_stages.h"
#include "text/utf8.h"

namespace banyan::text {
namespace {

// The decoders that tokenizer.json files have, and some combinations that none has yet.
const char* const kDecoders[] = {
    R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true})",
    R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true})",
    R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"never","split":false})",
    R"({"type":"Metaspace","replacement":"▁","add_prefix_space":true})",
    R"({"type":"WordPiece","prefix":"##","cleanup":true})",
    R"({"type":"WordPiece","prefix":"##","cleanup":false})",
    R"({"type":"BPEDecoder","suffix":"</w>"})",
    R"({"type":"BPEDecoder","suffix":""})",
    R"({"type":"ByteFallback"})",
    R"({"type":"Fuse"})",
    R"({"type":"CTC","pad_token":"<pad>","word_delimiter_token":"|","cleanup":true})",
    R"({"type":"Replace","pattern":{"Regex":"[aeiou]+"},"content":"*"})",
    R"({"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},
        {"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]})",
    R"({"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},
        {"type":"ByteFallback"},{"type":"Fuse"}]})",
    R"({"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Metaspace",
        "replacement":"▁","prepend_scheme":"first","split":true}]})",
    R"({"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Replace","pattern":{"String":"ab"},
        "content":"X"},{"type":"Replace","pattern":{"String":" a"},"content":"a"}]})",
    R"({"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"WordPiece","prefix":"##",
        "cleanup":true}]})",
    R"({"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Replace","pattern":{"Regex":"a b"},
        "content":"-"}]})",
    R"({"type":"Sequence","decoders":[{"type":"ByteLevel","add_prefix_space":false,
        "trim_offsets":false,"use_regex":false},{"type":"Strip","content":" ","start":2,"stop":0}]})",
};

const char* const kTokens[] = {
    "a",    "b",       " ",     "  ",     "ab",         "▁",      "▁the",   "▁▁",     "##ing",
    "un",   ".",       " .",    "n't",    " n't",       "' ",     " '",     "do",     " not",
    "é",    "日本",    "Ġ",     "Ġthe",   "Ċ",          "Ã",      "©",      "ð",      "Ł",
    "ĺ",    "Ģ",       "🎉",     "<0x41>", "<0xE6>",     "<0x97>", "<0xA5>", "<0xFF>", "<0x0A>",
    "</w>", "low</w>", "<pad>", "|",      "<|im_end|>", "e a",    "<s>",    "x y"};

// `tokens` through our chain, in pieces.
std::vector<std::string> Stream(const Decoder& decoder, const std::vector<std::string>& tokens) {
  auto stream = decoder.Start();
  std::vector<std::string> pieces;
  for (const std::string& token : tokens) stream->Push(token, pieces.emplace_back());
  stream->Finish(pieces.emplace_back());
  return pieces;
}

std::string Join(const std::vector<std::string>& pieces) {
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  return text;
}

TEST(DecoderTest, GivesWhatTheLibraryGivesAndNeverABrokenCharacter) {
  std::mt19937 random(1);
  for (const char* spec : kDecoders) {
    SCOPED_TRACE(spec);
    auto decoder = Decoder::FromJson(*ParseJson(spec), false);
    ASSERT_TRUE(decoder.ok()) << decoder.status();
    for (int round = 0; round < 400; ++round) {
      std::vector<std::string> tokens(1 + random() % 12);
      for (std::string& token : tokens) token = kTokens[random() % std::size(kTokens)];
      auto whole = RunLibraryDecoder(spec, tokens);
      ASSERT_TRUE(whole.ok()) << whole.status();
      const std::vector<std::string> pieces = Stream(**decoder, tokens);
      EXPECT_EQ(Join(pieces), Join(*whole)) << testing::PrintToString(tokens);
      for (const std::string& piece : pieces) EXPECT_TRUE(IsUtf8(piece));
    }
  }
}

TEST(DecoderTest, EmptyListsAndNoDecoder) {
  for (const char* spec : kDecoders) {
    auto decoder = Decoder::FromJson(*ParseJson(spec), false);
    ASSERT_TRUE(decoder.ok());
    EXPECT_EQ(Join(Stream(**decoder, {})), "");
  }
  auto none = Decoder::FromJson(nullptr, false);
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(Stream(**none, {"a", "b"}), (std::vector<std::string>{"a", " b", ""}));
}

TEST(DecoderTest, CleansUpSpacesAcrossPieces) {
  auto decoder = Decoder::FromJson(*ParseJson(kDecoders[1]), true);
  ASSERT_TRUE(decoder.ok());
  const std::vector<std::string> tokens = {"▁I", "▁do", "▁n", "'t", "▁", "know", "▁", ".", "▁a"};
  EXPECT_EQ(Join(Stream(**decoder, tokens)), "I don't know. a");
}

TEST(DecoderTest, SequencesOfNothing) {
  for (const char* spec :
       {R"({"type":"Sequence","decoders":[]})",
        R"({"type":"Sequence","decoders":[{"type":"Sequence","decoders":[]}]})"}) {
    for (bool clean_up : {false, true}) {
      auto decoder = Decoder::FromJson(*ParseJson(spec), clean_up);
      ASSERT_TRUE(decoder.ok()) << decoder.status();
      EXPECT_EQ(Join(Stream(**decoder, {"a", " ", "."})), clean_up ? "a." : "a .");
    }
  }
}

TEST(DecoderTest, HoldsOnlyWhatIsUncertain) {
  auto bytes = Decoder::FromJson(*ParseJson(kDecoders[0]), false);
  ASSERT_TRUE(bytes.ok());
  // U+65E5 is E6 97 A5, spelled æ Ĺ ¥.
  EXPECT_EQ(Stream(**bytes, {"a", "æ", "Ĺ", "¥", "b", "æ"}),
            (std::vector<std::string>{"a", "", "", "日", "b", "", "\xEF\xBF\xBD"}));
  auto fallback = Decoder::FromJson(*ParseJson(kDecoders[13]), false);
  ASSERT_TRUE(fallback.ok());
  EXPECT_EQ(Stream(**fallback, {"▁a", "<0xE6>", "<0x97>", "<0xA5>", "b"}),
            (std::vector<std::string>{" a", "", "", "", "日b", ""}));
}

TEST(DecoderTest, RefusesWhatIsNoDecoder) {
  for (const char* spec : {R"({"type":"Nonsense"})", R"({"type":"Sequence"})", "[]", "7",
                           R"({"type":"Metaspace","replacement":""})",
                           R"({"type":"Replace","pattern":{"Regex":"("},"content":""})"}) {
    EXPECT_FALSE(Decoder::FromJson(*ParseJson(spec), false).ok()) << spec;
  }
}

TEST(DecoderTest, TokenBytes) {
  auto bytes = Decoder::FromJson(*ParseJson(kDecoders[0]), false);
  EXPECT_EQ((*bytes)->TokenBytes("Ġæ"), " \xE6");
  auto llama = Decoder::FromJson(*ParseJson(kDecoders[12]), false);
  EXPECT_EQ((*llama)->TokenBytes("▁the"), " the");
  EXPECT_EQ((*llama)->TokenBytes("<0xE6>"), "\xE6");
  auto word = Decoder::FromJson(*ParseJson(kDecoders[4]), false);
  EXPECT_EQ((*word)->TokenBytes("##ing"), "ing");
  EXPECT_EQ((*word)->TokenBytes("un"), " un");
}

}  // namespace
}  // namespace banyan::text
