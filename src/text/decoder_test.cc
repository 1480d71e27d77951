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

// What `output` adds to the text of `context`.
std::string After(const Decoder& decoder, const std::vector<std::string>& context,
                  const std::vector<std::string>& output) {
  auto stream = decoder.Start();
  std::string ignored, text;
  for (const std::string& token : context) stream->Push(token, ignored);
  stream->Forget();
  for (const std::string& token : output) stream->Push(token, text);
  stream->Finish(text);
  return text;
}

TEST(DecoderTest, NothingOfAContextOfBytesComesOut) {
  const std::vector<std::string> newline = {"<0x0A>"}, half = {"<0xF0>", "<0x9F>"},
                                 other_half = {"<0x8C>", "<0xB3>"};
  const std::vector<std::string> tree = {"<0xF0>", "<0x9F>", "<0x8C>", "<0xB3>"};
  for (int spec : {8, 12, 13, 14}) {
    SCOPED_TRACE(kDecoders[spec]);
    auto made = Decoder::FromJson(*ParseJson(kDecoders[spec]), false);
    ASSERT_TRUE(made.ok());
    const Decoder& decoder = **made;
    EXPECT_EQ(After(decoder, newline, {}), "");
    EXPECT_EQ(After(decoder, newline, {"a"}), "a");
    EXPECT_EQ(After(decoder, newline, {"▁a"}), spec == 8 ? "▁a" : " a");  // the text has begun
    EXPECT_EQ(After(decoder, newline, {"<0x41>", "b"}), "Ab");
    EXPECT_EQ(After(decoder, tree, {"a"}), "a");
    EXPECT_EQ(After(decoder, half, other_half), "🌳");
    EXPECT_EQ(After(decoder, {"<0x0A>", "<0xF0>", "<0x9F>"}, {"<0x8C>", "<0xB3>", "a"}), "🌳a");
    // A character that nothing completes.
    EXPECT_EQ(After(decoder, half, {}), "");
    EXPECT_EQ(After(decoder, half, {"a"}), "a");
    EXPECT_EQ(After(decoder, half, {"<0x41>"}), "A");
    EXPECT_EQ(After(decoder, half, {"<0x8C>", "a"}), "\xEF\xBF\xBD\x61");
    // A context that begins within a character.
    EXPECT_EQ(After(decoder, other_half, {"a"}), "a");
    EXPECT_EQ(After(decoder, other_half, {"<0x41>", "b"}), "Ab");
    EXPECT_EQ(After(decoder, {"<0x8C>", "<0xB3>", "<0xF0>", "<0x9F>"}, other_half), "🌳");
    // The last eight of nine.
    EXPECT_EQ(
        After(decoder,
              {"<0x97>", "<0xA5>", "<0xE6>", "<0x97>", "<0xA5>", "<0xE6>", "<0x97>", "<0xA5>"},
              {"a"}),
        "a");
  }
  auto bytes = Decoder::FromJson(*ParseJson(kDecoders[0]), false);
  ASSERT_TRUE(bytes.ok());
  // U+65E5 is E6 97 A5, spelled æ Ĺ ¥.
  EXPECT_EQ(After(**bytes, {"a", "æ", "Ĺ"}, {"¥", "b"}), "日b");
  EXPECT_EQ(After(**bytes, {"æ", "Ĺ"}, {"b"}), "b");
  EXPECT_EQ(After(**bytes, {"æ"}, {"Ĺ", "b"}), "b");  // of one broken character
  EXPECT_EQ(After(**bytes, {"æ"}, {}), "");
  EXPECT_EQ(After(**bytes, {"Ĺ", "¥"}, {"b"}), "b");
}

TEST(DecoderTest, NothingOfAContextOfWordsComesOut) {
  const auto after = [](const char* spec, const std::vector<std::string>& context,
                        const std::vector<std::string>& output) {
    auto decoder = Decoder::FromJson(*ParseJson(spec), false);
    return After(**decoder, context, output);
  };
  EXPECT_EQ(after(kDecoders[6], {"low</w>"}, {"new</w>"}), " new");
  EXPECT_EQ(after(kDecoders[6], {"lo"}, {"w</w>"}), "w");
  EXPECT_EQ(after(kDecoders[6], {"low</w>"}, {}), "");
  EXPECT_EQ(after(kDecoders[10], {"a", "b"}, {"b", "a"}), "a");
  EXPECT_EQ(after(kDecoders[11], {"bat"}, {"cat"}), "c*t");
  EXPECT_EQ(after(kDecoders[17], {"xy"}, {"a b"}), "-");
  // A space that is the context's last is text where something follows it.
  constexpr char kStrips[] = R"({"type":"Sequence","decoders":[{"type":"Fuse"},
      {"type":"Strip","content":" ","start":0,"stop":1}]})";
  EXPECT_EQ(after(kStrips, {"a "}, {"b"}), " b");
  EXPECT_EQ(after(kStrips, {"a "}, {}), "");
}

TEST(DecoderTest, AContextIsTakenOffTheWhole) {
  std::vector<const char*> specs(std::begin(kDecoders), std::end(kDecoders));
  specs.erase(specs.begin() + 16);  // after a Fuse it may change what came before the cut
  specs.erase(specs.begin() + 7);   // so may an empty suffix
  std::mt19937 random(2);
  for (const char* spec : specs) {
    SCOPED_TRACE(spec);
    auto decoder = Decoder::FromJson(*ParseJson(spec), false);
    ASSERT_TRUE(decoder.ok());
    int compared = 0;
    for (int round = 0; round < 200; ++round) {
      std::vector<std::string> tokens;
      while (tokens.size() < 6) {
        if (random() % 4 == 0) {
          tokens.insert(tokens.end(), {"<0xE6>", "<0x97>", "<0xA5>"});
        } else {
          tokens.emplace_back(kTokens[random() % std::size(kTokens)]);
        }
      }
      const std::string whole = Join(*RunLibraryDecoder(spec, tokens));
      for (std::size_t cut = 0; cut <= tokens.size(); ++cut) {
        const auto middle = tokens.begin() + static_cast<std::ptrdiff_t>(cut);
        const std::vector<std::string> context(tokens.begin(), middle), rest(middle, tokens.end());
        const std::string before = Join(*RunLibraryDecoder(spec, context));
        // Not where the cut is within a character, or what follows changes the text before it.
        if (!whole.starts_with(before) || before.ends_with(kReplacementCharacter)) continue;
        ++compared;
        EXPECT_EQ(After(**decoder, context, rest), whole.substr(before.size()))
            << testing::PrintToString(context) << testing::PrintToString(rest);
      }
    }
    EXPECT_GT(compared, 400);
  }
}

TEST(DecoderTest, WhatIsHeldIsWhatFinishWouldGive) {
  const auto held = [](int spec, const std::vector<std::string>& tokens) {
    auto decoder = Decoder::FromJson(*ParseJson(kDecoders[spec]), false);
    auto stream = (*decoder)->Start();
    std::string text;
    for (const std::string& token : tokens) stream->Push(token, text);
    const std::string result = stream->Held();
    DecodeStream copy(*stream);
    EXPECT_EQ(stream->Held(), result);  // asking changes nothing
    std::string rest, same;
    stream->Push("b", rest);
    stream->Finish(rest);
    copy.Push("b", same);
    copy.Finish(same);
    EXPECT_EQ(rest, same);
    return result;
  };
  EXPECT_EQ(held(12, {"a"}), "");
  EXPECT_EQ(held(12, {"a", "<0x0A>"}), "\n");
  EXPECT_EQ(held(12, {"<0x20>", "<0x0A>"}), "\n");  // without the space that is stripped
  EXPECT_EQ(held(12, {"a", "<0x0A>", "<0xE6>"}), "");
  EXPECT_EQ(held(12, {"<0x0A>", "<0xE6>", "<0x97>", "<0xA5>"}), "\n日");
  EXPECT_EQ(held(6, {"a", "low</w>"}), "low");
  EXPECT_EQ(held(0, {"a", "æ"}), "");
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
