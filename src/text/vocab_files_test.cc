// SPDX-License-Identifier: Apache-2.0
#include "text/vocab_files.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "text/base64.h"
#include "text/tokenizer.h"

namespace banyan::text {
namespace {

using Ids = std::vector<TokenId>;
using Files = std::vector<std::pair<std::string, std::string>>;

StatusOr<std::shared_ptr<const Tokenizer>> LoadFiles(const Files& files) {
  const std::string folder = testing::TempDir() + "vocab_files";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  for (const auto& [name, text] : files)
    std::ofstream(folder + "/" + name, std::ios::binary) << text;
  return Tokenizer::Load(folder);
}

const char kVocab[] = R"({"a":0,"b":1,"ab":2,"Ġ":3,"Ġab":4,"</s>":5,"1":6,"11":7})";
const char kMerges[] = "#version: 0.2\na b\nĠ ab\n1 1\n";

// OPT's folders have no more than this.
TEST(VocabFilesTest, VocabAndMergesOfGpt2sClass) {
  const auto tokenizer = LoadFiles({{"vocab.json", kVocab},
                                    {"merges.txt", kMerges},
                                    {"tokenizer_config.json",
                                     R"({"tokenizer_class":"GPT2Tokenizer","add_bos_token":true,
       "bos_token":{"__type":"AddedToken","content":"</s>","normalized":true},
       "eos_token":"</s>","unk_token":"</s>"})"}});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ(*(*tokenizer)->Encode("ab ab11", true), (Ids{5, 2, 4, 7}));
  EXPECT_EQ(*(*tokenizer)->Encode("ab</s>ab", false), (Ids{2, 5, 2}));
  EXPECT_EQ(*(*tokenizer)->Decode(Ids{5, 2, 4, 7}, true), "ab ab11");
  EXPECT_EQ((*tokenizer)->vocab_size(), 8);
}

TEST(VocabFilesTest, TheModelStandsForAClassThatIsNotNamed) {
  const Files files = {{"vocab.json", kVocab},
                       {"merges.txt", "a b\r\nĠ ab\r\n1 1\r\n\r\n"},
                       {"tokenizer_config.json", R"({"add_prefix_space":true})"}};
  auto with = [&](const char* model) {
    Files all = files;
    all.emplace_back("config.json", model);
    return LoadFiles(all);
  };
  auto gpt2 = with(R"({"model_type":"gpt2"})");
  ASSERT_TRUE(gpt2.ok()) << gpt2.status();
  EXPECT_EQ(*(*gpt2)->Encode("ab<|endoftext|>", true), (Ids{4, 8}));
  EXPECT_EQ((*gpt2)->eos_id(), 8);
  auto qwen2 = with(R"({"model_type":"qwen3"})");
  ASSERT_TRUE(qwen2.ok()) << qwen2.status();
  EXPECT_EQ(*(*qwen2)->Encode("ab11", true), (Ids{4, 3, 6, 3, 6}));  // digits one by one
  EXPECT_EQ((*qwen2)->bos_id(), std::nullopt);
  const auto unknown = with(R"({"model_type":"bart"})");
  EXPECT_EQ(unknown.status().code(), StatusCode::kUnimplemented);
  EXPECT_EQ(LoadFiles(files).status().code(), StatusCode::kUnimplemented);
}

TEST(VocabFilesTest, BrokenVocabAndMergesAreErrors) {
  const auto load = [](const char* vocab, const char* merges) {
    return LoadFiles({{"vocab.json", vocab},
                      {"merges.txt", merges},
                      {"tokenizer_config.json", R"({"tokenizer_class":"GPT2TokenizerFast"})"}});
  };
  EXPECT_TRUE(load(kVocab, kMerges).ok());
  EXPECT_TRUE(load(kVocab, "").ok());
  for (const char* merges : {"a", "a b c\n", "a  b\n", "a zz\n", "a \xFF\n"})
    EXPECT_FALSE(load(kVocab, merges).ok()) << merges;
  for (const char* vocab : {"", "[]", R"({"a":-1})", R"({"a":"b"})", R"({"a":0},"x":{)"})
    EXPECT_FALSE(load(vocab, "").ok()) << vocab;
  EXPECT_EQ(LoadFiles({{"vocab.json", kVocab}}).status().code(), StatusCode::kUnimplemented);
}

// a b c ab bc abc and the space.
const char kRanks[] = "YQ== 0\nYg== 1\nYw== 2\nYWI= 3\nYmM= 4\nYWJj 5\nIA== 6\n";
const char kMoonshot[] = R"({"tokenizer_class":"TikTokenTokenizer","bos_token":"[BOS]",
  "eos_token":"[EOS]","added_tokens_decoder":{"7":{"content":"[BOS]","special":true},
  "8":{"content":"[EOS]","special":true}}})";

TEST(VocabFilesTest, RanksOfTiktoken) {
  const auto tokenizer =
      LoadFiles({{"tiktoken.model", kRanks}, {"tokenizer_config.json", kMoonshot}});
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ(*(*tokenizer)->Encode("abcb abbc", true), (Ids{5, 1, 6, 3, 4}));
  EXPECT_EQ(*(*tokenizer)->Encode("[BOS]abc<|reserved_token_9|>", true), (Ids{7, 5, 9}));
  EXPECT_EQ(*(*tokenizer)->Decode(Ids{7, 5, 6, 3, 8}, true), "abc ab");
  EXPECT_EQ((*tokenizer)->eos_id(), 8);
  EXPECT_EQ((*tokenizer)->vocab_size(), 7 + 256);
}

TEST(VocabFilesTest, BrokenRanksAreErrors) {
  const auto load = [](std::string ranks, const char* config) {
    return LoadFiles({{"tiktoken.model", std::move(ranks)}, {"tokenizer_config.json", config}});
  };
  EXPECT_EQ(load(kRanks, R"({"tokenizer_class":"QWenTokenizer"})").status().code(),
            StatusCode::kUnimplemented);
  for (const char* ranks : {"", "\n", "YQ==", "YQ== x", "YQ== 0 1", "YQ== 1", "= 0", "YQ 0",
                            "YQ== 0\nYQ== 1", "Y*== 0", " 0", "YR== 0"})
    EXPECT_EQ(load(ranks, kMoonshot).status().code(), StatusCode::kInvalidArgument) << ranks;
  EXPECT_EQ(load(EncodeBase64(std::vector<uint8_t>(2000, 'a')) + " 0", kMoonshot).status().code(),
            StatusCode::kInvalidArgument);
  // Every one is joined of any two others.
  std::string runs;
  for (int size = 1; size <= 1000; ++size) {
    runs += EncodeBase64(std::vector<uint8_t>(size, 'a')) + ' ' + std::to_string(size - 1) + '\n';
  }
  const auto joined = load(runs, kMoonshot);
  EXPECT_NE(Message(joined.status()).find("in too many ways"), std::string::npos);
}

TEST(VocabFilesTest, Base64AndBack) {
  std::string bytes;
  for (int size = 0; size < 300; ++size, bytes += static_cast<char>(size * 7)) {
    const std::string text =
        EncodeBase64({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
    EXPECT_EQ(DecodeBase64(text), bytes) << size;
  }
}

}  // namespace
}  // namespace banyan::text
