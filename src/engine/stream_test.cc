// SPDX-License-Identifier: Apache-2.0
// One sample's text and where a stop string ends it, for every way of telling its tokens.
#include "engine/stream.h"

#include <gtest/gtest.h>

namespace banyan {
namespace {

constexpr TokenId kBegin = 3, kEnd = 4, kA = 5, kB = 6, kNewline = 7, kC3 = 8, kA9 = 9;

// A vocabulary of Llama 2's form, in which a line's end is a byte.
std::shared_ptr<const text::Tokenizer> ByteFallbackTokenizer() {
  json::array added;
  for (const char* content : {"<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"}) {
    added.push_back(json::object{{"id", added.size()},
                                 {"content", content},
                                 {"single_word", false},
                                 {"lstrip", false},
                                 {"rstrip", false},
                                 {"normalized", false},
                                 {"special", true}});
  }
  json::object file = ParseJson(R"({
      "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
      "pre_tokenizer": null, "post_processor": null,
      "decoder": {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
        {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
      "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
                "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2, "<|im_start|>": 3, "<|im_end|>": 4,
                          "▁a": 5, "b": 6, "<0x0A>": 7, "<0xC3>": 8, "<0xA9>": 9},
                "merges": []}})")
                          ->as_object();
  file["added_tokens"] = std::move(added);
  const auto tokenizer = text::Tokenizer::FromJson(json::serialize(file), {});
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *tokenizer;
}

struct StreamEnd {
  std::string text, stop;
  std::vector<TokenId> tokens;
  bool operator==(const StreamEnd&) const = default;
};

std::ostream& operator<<(std::ostream& out, const StreamEnd& end) {
  return out << testing::PrintToString(end.text) << " stopped by "
             << testing::PrintToString(end.stop) << ": " << testing::PrintToString(end.tokens);
}

// The sample's whole; the same for one event a token and one for all, streamed or not.
StreamEnd RunStream(const SamplingParams& sampling, const std::vector<TokenId>& tokens,
                    const std::vector<TokenId>& context = {}, const FinishReason& finish = {}) {
  const auto tokenizer = ByteFallbackTokenizer();
  const auto run = [&](bool one_event, bool streamed) {
    StreamEnd end;
    StreamOpened opened;
    opened.sink = std::make_shared<const GenerateSink>([&end](const GenerateUpdate& update) {
      end.text += update.text;
      end.tokens.insert(end.tokens.end(), update.tokens.begin(), update.tokens.end());
      if (update.finish) end.stop = update.finish->stop_string;
      EXPECT_EQ(update.completion_tokens, static_cast<int>(end.tokens.size()));
    });
    opened.sampling = sampling;
    opened.stream = streamed;
    opened.context = context;
    Stream stream(std::move(opened), tokenizer);
    for (std::size_t i = 0; i < tokens.size() && !stream.told_the_end(); ++i) {
      RequestEvent event;
      event.tokens = {tokens[i]};
      if (one_event) {
        event.tokens = tokens;
        i = tokens.size() - 1;
      }
      if (i + 1 == tokens.size()) event.finished = finish;
      stream.Take(std::move(event));
      if (stream.Due(1)) stream.Flush();
    }
    EXPECT_TRUE(stream.told_the_end());
    if (stream.stopped_by_string()) {
      EXPECT_EQ(stream.stop_at().index + 1, static_cast<int>(end.tokens.size()));
      EXPECT_EQ(stream.stop_at().stop_string, end.stop);
    }
    return end;
  };
  const StreamEnd end = run(false, true);
  EXPECT_EQ(run(false, false), end);
  EXPECT_EQ(run(true, true), end);
  return end;
}

SamplingParams StopAtString(std::string stop, bool skip_special = true, bool keep = false) {
  SamplingParams sampling;
  sampling.stop = {std::move(stop)};
  sampling.skip_special_tokens = skip_special;
  sampling.no_stop_trim = keep;
  return sampling;
}

TEST(Stream, ASpecialTokenIsTextToAStopString) {
  const std::string begin = "<|im_start|>";
  const std::vector<TokenId> tokens = {kA, kB, kBegin, kA}, told = {kA, kB, kBegin};
  EXPECT_EQ(RunStream(StopAtString(begin), tokens), (StreamEnd{"ab", begin, told}));
  EXPECT_EQ(RunStream(StopAtString(begin, true, true), tokens), (StreamEnd{"ab", begin, told}));
  EXPECT_EQ(RunStream(StopAtString(begin, false), tokens), (StreamEnd{"ab", begin, told}));
  EXPECT_EQ(RunStream(StopAtString(begin, false, true), tokens),
            (StreamEnd{"ab<|im_start|>", begin, told}));
  EXPECT_EQ(RunStream(StopAtString("_start"), tokens), (StreamEnd{"ab", "_start", told}));
  EXPECT_EQ(RunStream(StopAtString("<|im_end|>"), tokens), (StreamEnd{"ab a", "", tokens}));
}

TEST(Stream, AStopStringOfTextAndASpecialToken) {
  const std::string stop = "\n<|im_end|>";
  const std::vector<TokenId> tokens = {kA, kNewline, kEnd, kB}, told = {kA, kNewline, kEnd};
  EXPECT_EQ(RunStream(StopAtString(stop), tokens), (StreamEnd{"a\n", stop, told}));
  EXPECT_EQ(RunStream(StopAtString(stop, true, true), tokens), (StreamEnd{"a\n", stop, told}));
  EXPECT_EQ(RunStream(StopAtString(stop, false), tokens), (StreamEnd{"a", stop, told}));
  EXPECT_EQ(RunStream(StopAtString(stop, false, true), tokens),
            (StreamEnd{"a\n<|im_end|>", stop, told}));
  EXPECT_EQ(RunStream(StopAtString("<|im_end|>b"), tokens),
            (StreamEnd{"a\nb", "<|im_end|>b", tokens}));
  EXPECT_EQ(RunStream(StopAtString("b<|im_end|><|im_start|>"), {kB, kEnd, kBegin, kA}),
            (StreamEnd{"b", "b<|im_end|><|im_start|>", {kB, kEnd, kBegin}}));
  // Something between them.
  const std::vector<TokenId> other = {kA, kNewline, kB, kEnd, kA};
  EXPECT_EQ(RunStream(StopAtString(stop), other), (StreamEnd{"a\nb a", "", other}));
  // What the text shows the whole of is cut off, whatever special tokens came before.
  EXPECT_EQ(RunStream(StopAtString("b"), {kA, kEnd, kB, kA}),
            (StreamEnd{"a", "b", {kA, kEnd, kB}}));
}

TEST(Stream, TheTokenThatEndedItComesBeforeItsText) {
  const FinishReason finish = {.kind = FinishReason::Kind::kStop, .stop_token = kEnd};
  for (const bool keep : {false, true}) {
    EXPECT_EQ(RunStream(StopAtString("<|im_end|>", true, keep), {kA, kEnd}, {}, finish),
              (StreamEnd{"a", "", {kA, kEnd}}));
  }
}

TEST(Stream, AStopInARunOfBytesIsFoundAtItsToken) {
  const std::vector<TokenId> tokens = {kA, kC3, kA9, kNewline, kC3, kA9, kB};
  EXPECT_EQ(RunStream(StopAtString("\n"), tokens),
            (StreamEnd{"a\xC3\xA9", "\n", {kA, kC3, kA9, kNewline}}));
  EXPECT_EQ(RunStream(StopAtString("\n", true, true), tokens),
            (StreamEnd{"a\xC3\xA9\n", "\n", {kA, kC3, kA9, kNewline}}));
  EXPECT_EQ(RunStream(StopAtString("\xC3\xA9"), tokens),
            (StreamEnd{"a", "\xC3\xA9", {kA, kC3, kA9}}));
  EXPECT_EQ(RunStream(StopAtString("a\xC3\xA9\n\xC3\xA9"), tokens),
            (StreamEnd{"", "a\xC3\xA9\n\xC3\xA9", {kA, kC3, kA9, kNewline, kC3, kA9}}));
  EXPECT_EQ(RunStream(StopAtString("\n\n"), tokens),
            (StreamEnd{"a\xC3\xA9\n\xC3\xA9\x62", "", tokens}));
}

TEST(Stream, TheBytesThatEndAPromptAreNotOutput) {
  EXPECT_EQ(RunStream({}, {kA, kB}, {kB, kNewline}), (StreamEnd{" ab", "", {kA, kB}}));
  EXPECT_EQ(RunStream({}, {kA9, kB}, {kB, kNewline, kC3}),
            (StreamEnd{"\xC3\xA9\x62", "", {kA9, kB}}));
  EXPECT_EQ(RunStream(StopAtString("\n"), {kB, kNewline, kB}, {kB, kNewline}),
            (StreamEnd{"b", "\n", {kB, kNewline}}));
}

}  // namespace
}  // namespace banyan
