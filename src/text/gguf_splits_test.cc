// SPDX-License-Identifier: Apache-2.0
// GGUF vocabularies beside what they were made from: llama.cpp's splits under every name of a
// pre-tokenizer (tools/make_gguf_split_goldens.py), and the shared data's tokenizers.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "text/gguf_vocab.h"
#include "text/testing.h"
#include "text/tokenizer.h"

namespace banyan::text {
namespace {

std::string Text(const json::value& value) { return std::string(View(value.as_string())); }

TEST(GgufSplitsTest, AreLlamaCppsOrTheModels) {
  const auto file =
      ReadFileIfAny(std::string(BANYAN_SOURCE_DIR) + "/tests/golden/text/gguf_splits.json");
  ASSERT_TRUE(file.ok() && *file);
  const json::object golden = ParseJson(**file)->as_object();
  const json::array& texts = golden.at("texts").as_array();
  GgufVocab vocab;
  vocab.model = "gpt2";
  for (const json::value& token : golden.at("bytes").as_array())
    vocab.tokens.push_back(Text(token));
  std::set<std::string> known(vocab.tokens.begin(), vocab.tokens.end());
  for (const json::value& merge : golden.at("merges").as_array()) {
    const std::string left = Text(merge.at(0)), right = Text(merge.at(1));
    vocab.merges.push_back(left + " " + right);
    if (known.insert(left + right).second) vocab.tokens.push_back(left + right);
  }
  int names = 0;
  for (const json::value& group : golden.at("groups").as_array()) {
    for (const json::value& name : group.at("names").as_array()) {
      vocab.pre = Text(name);
      const auto tokenizer = Tokenizer::FromGgufVocab(vocab);
      ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
      for (std::size_t i = 0; i < texts.size(); ++i) {
        const json::value& hash = group.at("hashes").at(i);
        if (hash.is_null()) continue;
        const auto ids = (*tokenizer)->Encode(Text(texts[i]), false);
        ASSERT_TRUE(ids.ok()) << ids.status();
        EXPECT_EQ(HashOf(*ids), Text(hash)) << vocab.pre << ": " << texts[i];
      }
      ++names;
    }
  }
  EXPECT_GT(names, 80);
}

constexpr int32_t kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6;

void Place(GgufVocab& vocab, std::size_t id, std::string token, int32_t type, float score = 0) {
  while (vocab.tokens.size() <= id) {
    vocab.tokens.push_back(fmt::format("[PAD{}]", vocab.tokens.size()));
    vocab.token_types.push_back(kUnused);
    vocab.scores.push_back(0);
  }
  vocab.tokens[id] = std::move(token);
  vocab.token_types[id] = type;
  vocab.scores[id] = score;
}

// As llama.cpp's converter writes a tokenizer.json: scores of a sentencepiece BPE stand for its
// merges.
GgufVocab AsGguf(const json::object& document, std::string model, std::string pre) {
  GgufVocab vocab;
  vocab.model = std::move(model);
  vocab.pre = std::move(pre);
  vocab.add_bos = false;
  vocab.add_eos = false;
  const json::object& own = document.at("model").as_object();
  if (const json::value* merges = own.if_contains("merges")) {
    for (const json::value& merge : merges->as_array())
      vocab.merges.push_back(merge.is_string() ? Text(merge)
                                               : Text(merge.at(0)) + " " + Text(merge.at(1)));
  }
  std::map<std::string, float> scores;
  if (vocab.model == "llama") {
    for (std::string merge : vocab.merges) {
      merge.erase(merge.find(' ', 1), 1);
      scores.emplace(merge, -static_cast<float>(scores.size()));
    }
  }
  if (own.at("vocab").is_object()) {
    for (const auto& [token, id] : own.at("vocab").as_object()) {
      const bool byte = vocab.model == "llama" && token.starts_with("<0x");
      const auto score = scores.find(std::string(token));
      Place(vocab, static_cast<std::size_t>(id.as_int64()), std::string(token),
            byte ? kByte : kNormal, score == scores.end() ? -1e6f : score->second);
    }
  } else {
    for (const json::value& entry : own.at("vocab").as_array())
      Place(vocab, vocab.tokens.size(), Text(entry.at(0)), kNormal, entry.at(1).to_number<float>());
  }
  for (const json::value& token : document.at("added_tokens").as_array())
    Place(vocab, static_cast<std::size_t>(token.at("id").as_int64()), Text(token.at("content")),
          token.at("special").as_bool() ? kControl : kUserDefined);
  for (std::size_t id = 0; id < vocab.tokens.size(); ++id)
    if (vocab.tokens[id] == "<unk>") vocab.token_types[id] = kUnknown;
  return vocab;
}

struct Shared {
  const char *name, *model, *pre;
};

class SharedAsGgufTest : public ::testing::TestWithParam<Shared> {};

TEST_P(SharedAsGgufTest, GivesTheIdsOfItsTokenizerJson) {
  const auto texts = ReadFileIfAny(kShared + "/tokenizers/texts.json");
  const std::string json = SharedTokenizerJson(GetParam().name);
  if (!texts.ok() || !*texts || json.empty()) GTEST_SKIP() << "no " << kShared << ", or no xz";
  const GgufVocab vocab = AsGguf(ParseJson(json)->as_object(), GetParam().model, GetParam().pre);
  const auto whole = Tokenizer::FromJson(json, {}), ours = Tokenizer::FromGgufVocab(vocab);
  ASSERT_TRUE(whole.ok()) << whole.status();
  ASSERT_TRUE(ours.ok()) << ours.status();
  json::array all = ParseJson(**texts)->as_array();
  // Composed and decomposed letters, marks within words, runs of spaces, line ends.
  for (const char* text : {"e\u0301te\u0301 \u00e9", "\u0939\u093f\u0928\u094d\u0926\u0940",
                           "a  b\n\n\tc   ", "I'LL don't 12345 \u0130x \u01c5ak"})
    all.emplace_back(text);
  for (const json::value& text : all)
    EXPECT_EQ(*(*ours)->Encode(Text(text), false), *(*whole)->Encode(Text(text), false)) << text;
}

INSTANTIATE_TEST_SUITE_P(All, SharedAsGgufTest,
                         ::testing::Values(Shared{"gpt-oss", "gpt2", "gpt-4o"},
                                           Shared{"mistral-tekken", "gpt2", "tekken"},
                                           Shared{"qwen3", "gpt2", "qwen2"},
                                           Shared{"llama2", "llama", ""}),
                         [](const auto& info) {
                           std::string name = info.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace banyan::text
