// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>

#include "text/detokenizer.h"
#include "text/model_files.h"
#include "text/testing.h"
#include "text/utf8.h"

namespace banyan::text {
namespace {

// A byte-level BPE of six letters, the space and two merges.
constexpr char kBpe[] = R"({"version":"1.0","truncation":{"max_length":2,"strategy":"LongestFirst",
  "stride":0,"direction":"Right"},"padding":null,"added_tokens":[
  {"id":10,"content":"<|end|>","single_word":false,"lstrip":false,"rstrip":false,
   "normalized":false,"special":true}],"normalizer":null,
  "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},
  "post_processor":null,"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,
  "use_regex":true},"model":{"type":"BPE","dropout":null,"unk_token":null,
  "continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,
  "vocab":{"a":0,"b":1,"c":2,"d":3,"e":4,"f":5,"Ġ":6,"ab":7,"Ġab":8,"abc":9},
  "merges":["a b","Ġ ab","ab c"]}})";

std::shared_ptr<const Tokenizer> Make(std::string_view json, const json::object& config = {}) {
  auto tokenizer = Tokenizer::FromJson(json, config);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *tokenizer : nullptr;
}

using Ids = std::vector<TokenId>;

TEST(TokenizerTest, EncodesAndDecodes) {
  auto tokenizer = Make(kBpe);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(*tokenizer->Encode("abc ab<|end|>f", true), (Ids{9, 8, 10, 5}));
  EXPECT_EQ(*tokenizer->Decode(Ids{9, 8, 10, 5}, false), "abc ab<|end|>f");
  EXPECT_EQ(*tokenizer->Decode(Ids{9, 8, 10, 5}, true), "abc abf");
  EXPECT_EQ(tokenizer->vocab_size(), 11);
  EXPECT_EQ(tokenizer->TokenToId("Ġab"), 8);
  EXPECT_EQ(tokenizer->TokenToId("zz"), std::nullopt);
  EXPECT_EQ(tokenizer->TokenText(10), "<|end|>");
  EXPECT_EQ(tokenizer->TokenBytes(8), " ab");
  EXPECT_TRUE(tokenizer->IsSpecial(10));
  EXPECT_FALSE(tokenizer->IsSpecial(-1));
  EXPECT_EQ(tokenizer->Decode(Ids{11}, false).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(tokenizer->Decode(Ids{-1}, false).status().code(), StatusCode::kInvalidArgument);
}

// Pairs are handed on as they stand in the file; the rest of it may hold anything.
TEST(TokenizerTest, MergesAsPairsOrAsStrings) {
  const auto with = [](std::string_view merges) {
    std::string json = kBpe;
    const std::string_view given = R"(["a b","Ġ ab","ab c"])";
    return json.replace(json.find(given), given.size(), merges);
  };
  for (const char* merges : {R"(["a b","Ġ ab","ab c"])", R"([["a","b"],["Ġ","ab"],["ab","c"]])",
                             R"( [ ["a", "b"] , ["\u0120","ab"],["a\u0062","c"]] )"}) {
    auto tokenizer = Make(with(merges));
    ASSERT_TRUE(tokenizer) << merges;
    EXPECT_EQ(*tokenizer->Encode("abc ab<|end|>f", true), (Ids{9, 8, 10, 5})) << merges;
  }
  EXPECT_FALSE(Tokenizer::FromJson(with(R"([["a","b"],["zz","c"]])"), {}).ok());
  EXPECT_FALSE(Tokenizer::FromJson(with(R"([["a","b","c"]])"), {}).ok());
  EXPECT_FALSE(Tokenizer::FromJson(with(R"([["a","b"],"ab c"])"), {}).ok());  // some of each

  std::string odd = with(R"([["a","b"],["Ġ","ab"],["ab","c"]])");
  const std::string_view token = R"("content":"<|end|>")";
  odd.replace(odd.find(token), token.size(), R"("content":"\"merges\":[]")");
  auto tokenizer = Make(odd);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(*tokenizer->Encode("abc\"merges\":[]f", true), (Ids{9, 10, 5}));
}

TEST(TokenizerTest, RefusesTextThatIsNotUtf8) {
  auto tokenizer = Make(kBpe);
  auto ids = tokenizer->Encode("ab\xFF", false);
  EXPECT_EQ(ids.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(Message(ids.status()).find("byte 2"), std::string::npos);
}

// As transformers 5: beside a tokenizer.json the flags are without effect, but for the one class
// that always puts its own BOS.
TEST(TokenizerTest, ConfigDecidesSpecialsAndTheFileBosEos) {
  json::object config = {{"tokenizer_class", "LlamaTokenizerFast"},
                         {"bos_token", "<s>"},
                         {"eos_token", {{"content", "<|end|>"}}},
                         {"add_bos_token", true},
                         {"add_eos_token", true}};
  auto tokenizer = Make(kBpe, config);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(tokenizer->bos_id(), 11);  // numbered on after the vocabulary
  EXPECT_EQ(tokenizer->eos_id(), 10);
  EXPECT_EQ(*tokenizer->Encode("a", true), (Ids{0}));
  EXPECT_EQ(*tokenizer->Encode("<s>a", false), (Ids{11, 0}));
  EXPECT_EQ(tokenizer->special_tokens().at("eos_token"), "<|end|>");

  json::object code_llama = config;
  code_llama["tokenizer_class"] = "CodeLlamaTokenizer";
  code_llama["add_bos_token"] = false;
  EXPECT_EQ(*Make(kBpe, code_llama)->Encode("a", true), (Ids{11, 0}));
  EXPECT_EQ(*Make(kBpe, code_llama)->Encode("a", false), (Ids{0}));

  config["bos_eos_by_flags"] = true;  // a vocabulary that came without a post-processor
  EXPECT_EQ(*Make(kBpe, config)->Encode("a", true), (Ids{11, 0, 10}));
  // A token of the vocabulary that a config names becomes special.
  auto named = Make(kBpe, {{"pad_token", "abc"}, {"split_special_tokens", false}});
  EXPECT_TRUE(named->IsSpecial(9));
  auto split = Make(kBpe, {{"split_special_tokens", true}})->Encode("ab<|end|>", false);
  ASSERT_TRUE(split.ok()) << split.status();
  EXPECT_EQ(std::count(split->begin(), split->end(), 10), 0);
}

// A file that pads batches names the token for it; nothing is padded here.
TEST(TokenizerTest, TheTokenOfPaddingHasItsRole) {
  std::string json = kBpe;
  const std::string_view none = R"("padding":null)";
  json.replace(json.find(none), none.size(),
               R"("padding":{"strategy":{"Fixed":9},"direction":"Right","pad_to_multiple_of":null,
                  "pad_id":0,"pad_type_id":0,"pad_token":"<pad>"})");
  EXPECT_EQ(*Make(json)->Encode("a<pad>f", true), (Ids{0, 11, 5}));
  EXPECT_EQ(*Make(json)->Decode(Ids{0, 11, 5}, true), "af");
  json::object config;
  config["pad_token"] = "ab";
  EXPECT_EQ(*Make(json, config)->Encode("abf", true), (Ids{7, 5}));
  config["pad_token"] = nullptr;
  EXPECT_EQ(Make(json, config)->vocab_size(), 11);
}

TEST(TokenizerTest, AddedTokensDecoderAddsInOrderOfIds) {
  json::object config = {
      {"added_tokens_decoder",
       {{"12", {{"content", "<y>"}, {"special", false}, {"normalized", false}}},
        {"11", {{"content", "<x>"}, {"special", true}, {"normalized", false}}}}}};
  auto tokenizer = Make(kBpe, config);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(tokenizer->TokenToId("<x>"), 11);
  EXPECT_EQ(tokenizer->TokenToId("<y>"), 12);
  EXPECT_TRUE(tokenizer->IsSpecial(11));
  EXPECT_FALSE(tokenizer->IsSpecial(12));
  EXPECT_EQ(*tokenizer->Encode("a<y>b<x>", false), (Ids{0, 12, 1, 11}));
}

// What stands before a token decides about it, also where a token before it has taken that.
TEST(TokenizerTest, AddedTokensSideBySide) {
  const auto with = [](const char* tokens) {
    std::string json = kBpe;
    json.insert(json.find("],\"normalizer\""), tokens);
    return Make(json);
  };
  auto words = with(R"(,{"id":11,"content":"cd","single_word":false,"lstrip":false,"rstrip":false,
      "normalized":true,"special":false},{"id":12,"content":"fe","single_word":true,"lstrip":false,
      "rstrip":false,"normalized":true,"special":false})");
  EXPECT_EQ(*words->Encode("cdfe fe", false), (Ids{11, 5, 4, 6, 12}));
  auto spaces = with(R"(,{"id":11,"content":"<r>","single_word":false,"lstrip":false,"rstrip":true,
      "normalized":false,"special":true},{"id":12,"content":"  ","single_word":false,"lstrip":false,
      "rstrip":false,"normalized":false,"special":false})");
  EXPECT_EQ(*spaces->Encode("<r>  a", false), (Ids{11, 12, 0}));
}

std::string Added(std::string_view content, int64_t id, bool special = true,
                  bool normalized = false, bool rstrip = false) {
  return json::serialize(json::object{{"id", id},
                                      {"content", content},
                                      {"single_word", false},
                                      {"lstrip", false},
                                      {"rstrip", rstrip},
                                      {"normalized", normalized},
                                      {"special", special}});
}

// A configuration whose added_tokens_decoder holds such a token.
json::object InConfig(const std::string& added) {
  const json::object token = *ParseJsonObject(added, "token");
  json::object tokens;
  tokens[std::to_string(token.at("id").as_int64())] = token;
  return {{"added_tokens_decoder", tokens}};
}

// kBpe with other added tokens.
std::string WithAdded(std::string_view tokens) {
  std::string json = kBpe;
  const std::size_t begin = json.find("{\"id\":10"), end = json.find("],\"normalizer\"");
  return json.replace(begin, end - begin, tokens);
}

// The ids that the libraries give, which transformers and so every other engine take, whatever the
// file says.
TEST(TokenizerTest, AddedTokensAreNumberedAsTheLibrariesDo) {
  const auto far = Make(WithAdded(Added("<x>", 40) + "," + Added("<y>", 60)));
  ASSERT_TRUE(far);
  EXPECT_EQ(*far->Encode("abc<x>f<y>", false), (Ids{9, 10, 5, 11}));
  EXPECT_EQ(*far->Decode(Ids{10, 11}, false), "<x><y>");
  EXPECT_EQ(far->TokenToId("<y>"), 11);
  EXPECT_EQ(far->vocab_size(), 12);
  const auto taken = Make(WithAdded(Added("<x>", 9)));  // the id of "abc"
  ASSERT_TRUE(taken);
  EXPECT_EQ(*taken->Encode("abc<x>", false), (Ids{9, 10}));
  const auto empty = Make(WithAdded(Added("", 10) + "," + Added("<y>", 11)));
  ASSERT_TRUE(empty);
  EXPECT_EQ(*empty->Encode("a<y>", false), (Ids{0, 10}));
  EXPECT_EQ(*empty->Decode(Ids{10}, false), "<y>");
  const auto both = Make(WithAdded(Added("abc", 10)));
  ASSERT_TRUE(both);
  EXPECT_EQ(*both->Encode("abc", false), (Ids{9}));
  EXPECT_TRUE(both->IsSpecial(9));
  EXPECT_EQ(both->vocab_size(), 10);

  // A gap before the last piece: those of the file count on from the size, the config's from the
  // largest.
  std::string gap = WithAdded(Added("abc", 20));
  gap.replace(gap.find("\"abc\":9"), 7, "\"abc\":20");
  const auto config = json::object{{"pad_token", "<p>"}, {"eos_token", "<q>"}};
  EXPECT_EQ(*Make(gap, config)->Encode("a<p><q>", false), (Ids{0, 22, 21}));
  // The libraries would give the id of "abc" again: a free one that the file states is meant.
  gap = WithAdded(Added("<x>", 9));
  gap.replace(gap.find("\"abc\":9"), 7, "\"abc\":10");
  const auto meant = Make(gap, config);
  ASSERT_TRUE(meant);
  EXPECT_EQ(*meant->Encode("abc<x><q>", false), (Ids{10, 9, 11}));
  EXPECT_EQ(*meant->Decode(Ids{10, 9}, false), "abc<x>");

  const std::string unigram = R"({"version":"1.0","added_tokens":[)" + Added("<x>", 1) + "," +
                              Added("<y>", 7) + "," + Added("<z>", 8) +
                              R"(],"normalizer":null,"pre_tokenizer":null,"post_processor":null,
      "decoder":null,"model":{"type":"Unigram","unk_id":0,"byte_fallback":false,
      "vocab":[["<unk>",0],["a",-1],["b",-2]]}})";
  const auto list = Make(unigram);
  ASSERT_TRUE(list);
  EXPECT_EQ(*list->Encode("a<x>b<y><z>", false), (Ids{1, 3, 2, 4, 5}));
}

// transformers adds the tokens of added_tokens_decoder anew: their flags count, not the file's.
TEST(TokenizerTest, AddedTokensDecoderDecidesFlags) {
  for (const bool rstrip : {false, true}) {
    auto tokenizer = Make(WithAdded(Added("<x>", 10, false, false, !rstrip)),
                          InConfig(Added("<x>", 10, false, false, rstrip)));
    ASSERT_TRUE(tokenizer);
    EXPECT_EQ(*tokenizer->Encode("a<x>  b", false),
              rstrip ? (Ids{0, 10, 1}) : (Ids{0, 10, 6, 6, 1}));
  }
  // A role decides nothing about a token that the file has.
  const json::object named = {{"mask_token", {{"content", "<x>"}, {"rstrip", true}}}};
  EXPECT_EQ(*Make(WithAdded(Added("<x>", 10)), named)->Encode("a<x> b", false), (Ids{0, 10, 6, 1}));
}

// A BPE of single characters in lower case: where <X> is a token, it was searched for in what the
// normalizer makes of a text.
std::string Lowercase(std::string_view added = "") {
  return fmt::format(R"({{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{}],
      "normalizer":{{"type":"Lowercase"}},"pre_tokenizer":null,"post_processor":null,
      "decoder":null,"model":{{"type":"BPE","dropout":null,"unk_token":null,
      "continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,
      "byte_fallback":false,"vocab":{{"a":0,"b":1,"c":2,"<":3,"x":4,">":5,"d":6}},"merges":[]}}}})",
                     added);
}

Ids LowercaseIds(bool normalized) {
  return normalized ? Ids{0, 7, 1, 7} : Ids{0, 3, 4, 5, 1, 7};  // of "a<X>b<x>"
}

// The last flags count, as in tokenizers 0.23, but what was special once is never shown again.
TEST(TokenizerTest, TokensAddedAgainHaveTheLastFlags) {
  for (int flags = 0; flags < 16; ++flags) {
    const bool special = flags & 1, normalized = flags & 2, was_special = flags & 4;
    const std::string was = Added("<x>", 7, was_special, flags & 8);
    const auto tokenizer = Make(Lowercase(was), InConfig(Added("<x>", 7, special, normalized)));
    ASSERT_TRUE(tokenizer);
    EXPECT_EQ(*tokenizer->Encode("a<X>b<x>", false), LowercaseIds(normalized)) << flags;
    EXPECT_EQ(tokenizer->IsSpecial(7), special || was_special) << flags;
  }
}

// As transformers 5.17 settles what the entries leave open.
TEST(TokenizerTest, RolesAndFlagsOfAddedTokens) {
  struct Case {
    const char* config;
    bool special, normalized;
  };
  const Case cases[] = {
      {R"({"added_tokens_decoder":{},"extra_special_tokens":["<x>"]})", true, false},
      {R"({"added_tokens_decoder":{},"extra_special_tokens":[
          {"__type":"AddedToken","content":"<x>"}]})",
       false, true},
      {R"({"added_tokens_decoder":{},"extra_special_tokens":[
          {"__type":"AddedToken","content":"<x>","normalized":true,"special":true}]})",
       true, true},
      {R"({"added_tokens_decoder":{},"extra_special_tokens":{"q":"<x>"}})", true, false},
      {R"({"model_specific_special_tokens":{"q":"<x>"}})", true, false},
      {R"({"added_tokens_decoder":{"7":{"content":"<x>"}}})", false, true},
      {R"({"added_tokens_decoder":{"7":{"content":"<x>"}},"eos_token":"<x>"})", true, false},
      {R"({"added_tokens_decoder":{"7":{"content":"<x>"}},"image_token":"<x>"})", true, false},
      {R"({"added_tokens_decoder":{"7":{"content":"<x>"}},"extra_special_tokens":["<x>"]})", false,
       true},
      {R"({"added_tokens_decoder":{},"eos_token":{"__type":"AddedToken","content":"<x>"}})", true,
       false},
      {R"({"added_tokens_decoder":{},"eos_token":"<x>","pad_token":
          {"__type":"AddedToken","content":"<x>","normalized":true}})",
       true, true},
      {R"({"added_tokens.json":{"<x>":7}})", false, true},
      {R"({"added_tokens.json":{"<x>":7},"eos_token":"<x>"})", true, false},
      {R"({"added_tokens.json":{"<x>":7},"extra_special_tokens":["<x>"]})", true, false},
      {R"({"added_tokens.json":{"<x>":7},"image_token":"<x>"})", true, true},
      {R"({"added_tokens.json":{"<x>":7},"extra_special_tokens":{"q":"<x>"}})", true, true},
      {R"({"added_tokens.json":{"<x>":7},"eos_token":{"__type":"AddedToken","content":"<x>"}})",
       true, true},
  };
  for (const Case& test : cases) {
    const auto tokenizer = Make(Lowercase(), *ParseJsonObject(test.config, "config"));
    ASSERT_TRUE(tokenizer);
    EXPECT_EQ(*tokenizer->Encode("a<X>b<x>", false), LowercaseIds(test.normalized)) << test.config;
    EXPECT_EQ(tokenizer->IsSpecial(7), test.special) << test.config;
  }
}

TEST(TokenizerTest, ExtraTokensOfTwoFilesAreJoined) {
  const std::string folder = testing::TempDir() + "extra_tokens";
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/tokenizer.json") << Lowercase();
  struct Case {
    const char *config, *map;
    std::optional<TokenId> a, b;
  };
  const Case cases[] = {
      {R"({"extra_special_tokens":["<a>"]})", R"({"extra_special_tokens":["<b>"]})", 7, 8},
      {R"({"additional_special_tokens":["<a>"]})", R"({"extra_special_tokens":["<b>","<a>"]})", 7,
       8},
      {R"({"extra_special_tokens":["<a>"]})", R"({"extra_special_tokens":[{"content":"<b>"}]})", 7,
       8},
      {R"({"extra_special_tokens":["<a>"]})", R"({"additional_special_tokens":["<b>"]})", 7, {}},
      {R"({"extra_special_tokens":["<a>"]})", R"({"extra_special_tokens":{"q":"<b>"}})", {}, 7},
      {R"({"extra_special_tokens":{"q":"<a>"}})", R"({"extra_special_tokens":["<b>"]})", 7, 8},
      {R"({"extra_special_tokens":{"q":"<a>"}})", R"({"extra_special_tokens":{"r":"<b>"}})", 7, 8},
      {R"({"extra_special_tokens":{"q":"<a>"}})", R"({"additional_special_tokens":["<b>"]})", 7, 8},
      {R"({"extra_special_tokens":null})", R"({"additional_special_tokens":["<b>"]})", {}, {}},
  };
  for (const Case& test : cases) {
    std::ofstream(folder + "/tokenizer_config.json") << test.config;
    std::ofstream(folder + "/special_tokens_map.json") << test.map;
    const auto tokenizer = Tokenizer::Load(folder);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    for (const auto& [text, id] : {std::pair{"<a>", test.a}, {"<b>", test.b}}) {
      EXPECT_EQ((*tokenizer)->TokenToId(text), id) << test.config << " " << test.map;
      EXPECT_TRUE(!id || (*tokenizer)->IsSpecial(*id)) << test.config << " " << test.map;
    }
  }
}

// Folders that were saved before configs listed their added tokens.
TEST(TokenizerTest, OlderFoldersListTheirAddedTokensInAFileOfTheirOwn) {
  const std::string folder = testing::TempDir() + "older_tokenizer";
  std::filesystem::create_directories(folder);
  const auto write = [&](const char* name, std::string_view text) {
    std::ofstream(folder + "/" + name) << text;
  };
  write("tokenizer.json", WithAdded(Added("<a>", 10, true, false, true)));
  write("added_tokens.json", R"({"<|im_start|>": 12, "<|im_end|>": 11, "<a>": 10})");
  write("special_tokens_map.json", R"({"eos_token": {"content": "<|im_end|>", "rstrip": true}})");
  write("tokenizer_config.json", R"({"eos_token": "<other>"})");
  auto tokenizer = Tokenizer::Load(folder);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ(*(*tokenizer)->Encode("<|im_start|>a<|im_end|> b<a> c", false),
            (Ids{12, 0, 11, 6, 1, 10, 2}));
  EXPECT_EQ((*tokenizer)->eos_id(), 11);
  EXPECT_TRUE((*tokenizer)->IsSpecial(11));
  EXPECT_FALSE((*tokenizer)->IsSpecial(12));

  write("tokenizer_config.json", R"({"eos_token": "<other>", "added_tokens_decoder": {}})");
  tokenizer = Tokenizer::Load(folder);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->TokenToId("<|im_start|>"), std::nullopt);
  EXPECT_EQ((*tokenizer)->eos_id(), 11);
  EXPECT_EQ((*tokenizer)->special_tokens().at("eos_token"), "<other>");
}

// kBpe lacks most bytes: they are left out, and what stood around them joins.
TEST(TokenizerTest, BytesThatTheVocabularyLacksAreLeftOut) {
  auto tokenizer = Make(kBpe);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(*tokenizer->Encode("axb ab", false), (Ids{7, 8}));
  EXPECT_EQ(*tokenizer->Encode("\xC3\xA9<|end|>f", false), (Ids{10, 5}));
}

TEST(TokenizerTest, LongTextsTakeLinearTime) {
  auto tokenizer = Make(kBpe);
  std::string spaced, solid;
  for (int i = 0; i < 1 << 18; ++i) spaced += "abc ab ", solid += "abcab";
  for (const std::string& text : {spaced, solid}) {
    auto ids = tokenizer->Encode(text, false);
    ASSERT_TRUE(ids.ok());
    EXPECT_EQ(*tokenizer->Decode(*ids, false), text);
  }
}

TEST(TokenizerTest, HostileFilesAreErrors) {
  std::string deep(5000, '[');
  std::string huge_id = kBpe;
  huge_id.replace(huge_id.find("\"abc\":9"), 7, "\"abc\":4000000000");
  for (const std::string& text :
       {std::string(), std::string("{}"), std::string("[]"), std::string("null"), deep,
        std::string(R"({"model":{"type":"BPE","vocab":{},"merges":[["a"]]}})"),
        std::string(R"({"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}})"),
        std::string(R"({"model":{"type":"BPE","vocab":7,"merges":[]}})"),
        std::string(R"({"model":{"type":"Nonsense","vocab":{"a":0}}})"),
        std::string(R"({"model":{"type":"Unigram","vocab":[["a"]],"unk_id":9}})"), huge_id,
        std::string(kBpe).substr(0, 700)}) {
    EXPECT_FALSE(Tokenizer::FromJson(text, {}).ok()) << text.substr(0, 80);
  }
}

TEST(TokenizerTest, LoadNamesTheFolder) {
  auto missing = Tokenizer::Load("/nonexistent/model");
  EXPECT_EQ(missing.status().code(), StatusCode::kNotFound);
  EXPECT_NE(Message(missing.status()).find("/nonexistent/model"), std::string::npos);
}

TEST(DetokenizerTest, ContextIsNotOutput) {
  constexpr char kMetaspace[] = R"({"version":"1.0","truncation":null,"padding":null,
    "added_tokens":[],"normalizer":null,"pre_tokenizer":{"type":"Metaspace","replacement":"▁",
    "prepend_scheme":"always","split":true},"post_processor":null,
    "decoder":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true},
    "model":{"type":"WordLevel","vocab":{"▁a":0,"▁b":1,"[UNK]":2},"unk_token":"[UNK]"}})";
  auto tokenizer = Make(kMetaspace);
  ASSERT_TRUE(tokenizer);
  // One statement each: the operands of + are evaluated in no order.
  Detokenizer alone(tokenizer, false);
  std::string text = alone.Push(0);
  text += alone.Push(99);
  text += alone.Push(1);
  text += alone.Finish();
  EXPECT_EQ(text, "a b");
  const Ids context = {0};
  Detokenizer after(tokenizer, false, context);
  text = after.Push(1);
  text += after.Finish();
  EXPECT_EQ(text, " b");
}

// CLIP's form: the last part of a word bears a mark.
TEST(TokenizerTest, WordSuffixesAndPartPrefixes) {
  const char* suffix = R"({"model": {"type": "BPE", "end_of_word_suffix": "</w>",
      "vocab": {"a": 0, "b": 1, "b</w>": 2, "a</w>": 3, "ab</w>": 4}, "merges": ["a b</w>"]},
      "pre_tokenizer": {"type": "WhitespaceSplit"}, "added_tokens": []})";
  EXPECT_EQ(*Make(suffix)->Encode("ab a ba", false), (Ids{4, 3, 1, 3}));
  const char* prefix = R"({"model": {"type": "BPE", "continuing_subword_prefix": "##",
      "vocab": {"a": 0, "##a": 1, "b": 2, "##b": 3, "ab": 4}, "merges": ["a ##b"]},
      "pre_tokenizer": {"type": "WhitespaceSplit"}, "added_tokens": []})";
  EXPECT_EQ(*Make(prefix)->Encode("aba baa", false), (Ids{4, 1, 2, 1, 1}));
}

// The tokenizers of the shared data: name, whether the folder has ids.jsonl.
class SharedTokenizerTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string folder = kShared + "/tokenizers/" + GetParam();
    if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no " << folder;
    auto config = ReadTokenizerConfig(folder);
    ASSERT_TRUE(config.ok()) << config.status();
    const std::string json = SharedTokenizerJson(GetParam());
    if (json.empty()) GTEST_SKIP() << "xz is not installed";
    auto tokenizer = Tokenizer::FromJson(json, *config);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = *tokenizer;
    texts_ = ParseJson(ReadFileIfAny(kShared + "/tokenizers/texts.json")->value())->as_array();
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
  json::array texts_;
};

TEST_P(SharedTokenizerTest, IdsAreTheExpectedOnes) {
  std::ifstream lines(kShared + "/tokenizers/" + GetParam() + "/ids.jsonl");
  if (!lines) GTEST_SKIP() << "no ids.jsonl: the golden hashes say what is expected";
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const json::object row = ParseJson(line)->as_object();
    const auto text = View(texts_.at(row.at("i").as_int64()).as_string());
    auto ids = tokenizer_->Encode(text, false);
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(*ids, json::value_to<Ids>(row.at("ids"))) << text;
  }
  EXPECT_GT(count, 100);
}

TEST_P(SharedTokenizerTest, IdsHashAsHuggingFaces) {
  const auto file =
      ReadFileIfAny(std::string(BANYAN_SOURCE_DIR) + "/tests/golden/text/token_hashes.json");
  ASSERT_TRUE(file.ok() && *file);
  const json::object goldens = ParseJson(**file)->as_object();
  const json::value* hashes = goldens.if_contains(GetParam());
  if (!hashes) GTEST_SKIP() << "no golden hashes: ids.jsonl says what is expected";
  ASSERT_EQ(hashes->as_array().size(), texts_.size());
  for (std::size_t i = 0; i < texts_.size(); ++i) {
    auto ids = tokenizer_->Encode(View(texts_[i].as_string()), false);
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(HashOf(*ids), View(hashes->as_array()[i].as_string())) << texts_[i];
  }
}

TEST_P(SharedTokenizerTest, StreamEqualsWhole) {
  std::mt19937 random(7);
  std::vector<Ids> sequences;
  for (const json::value& text : texts_)
    sequences.push_back(*tokenizer_->Encode(View(text.as_string()), true));
  for (int i = 0; i < 200; ++i) {
    Ids& ids = sequences.emplace_back(1 + random() % 80);
    for (TokenId& id : ids) {
      do {
        id = static_cast<TokenId>(random() % tokenizer_->vocab_size());
      } while (!tokenizer_->TokenText(id));
    }
  }
  for (const Ids& ids : sequences) {
    for (bool skip_special : {false, true}) {
      Detokenizer detokenizer(tokenizer_, skip_special);
      std::string text;
      for (TokenId id : ids) {
        const std::string piece = detokenizer.Push(id);
        EXPECT_TRUE(IsUtf8(piece));
        text += piece;
      }
      text += detokenizer.Finish();
      EXPECT_EQ(text, *tokenizer_->Decode(ids, skip_special));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, SharedTokenizerTest,
                         testing::Values("gpt-oss", "qwen3", "deepseek-v3", "mistral-tekken",
                                         "t5-small", "llama2"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace banyan::text
