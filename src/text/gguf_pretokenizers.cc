// SPDX-License-Identifier: Apache-2.0
#include "text/gguf_pretokenizers.h"

#include <map>
#include <string>

namespace banyan::text {
namespace {

// The building blocks of nearly all of them.
#define BANYAN_CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define BANYAN_LINES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define BANYAN_WORD R"([^\r\n\p{L}\p{N}]?\p{L}+)"
#define BANYAN_SYMBOLS R"( ?[^\s\p{L}\p{N}]+[\r\n]*)"
#define BANYAN_SYMBOLS_SLASH R"( ?[^\s\p{L}\p{N}]+[\r\n/]*)"
#define BANYAN_UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define BANYAN_LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define BANYAN_CASED(suffix)                                        \
  "[^\\r\\n\\p{L}\\p{N}]?" BANYAN_UPPER "*" BANYAN_LOWER "+" suffix \
  "|[^\\r\\n\\p{L}\\p{N}]?" BANYAN_UPPER "+" BANYAN_LOWER "*" suffix

constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    BANYAN_CONTRACTIONS "|" BANYAN_WORD "|\\p{N}{1,3}|" BANYAN_SYMBOLS "|" BANYAN_LINES;
// Runs of spaces in powers of two.
constexpr std::string_view kJais2 = BANYAN_CONTRACTIONS
    "|" BANYAN_WORD "|\\p{N}{1,3}|" BANYAN_SYMBOLS
    R"(|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S))"
    R"(|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})";
constexpr std::string_view kQwen2 =
    BANYAN_CONTRACTIONS "|" BANYAN_WORD "|\\p{N}|" BANYAN_SYMBOLS "|" BANYAN_LINES;
constexpr std::string_view kQwen35 = BANYAN_CONTRACTIONS
    R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)" BANYAN_LINES;
constexpr std::string_view kGpt4o =
    BANYAN_CASED(BANYAN_CONTRACTIONS "?") "|\\p{N}{1,3}|" BANYAN_SYMBOLS_SLASH "|" BANYAN_LINES;
constexpr std::string_view kTekken =
    BANYAN_CASED("") "|\\p{N}|" BANYAN_SYMBOLS_SLASH "|" BANYAN_LINES;
#define BANYAN_DEEPSEEK_WORDS                          \
  R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+)" \
  R"(|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+)"
constexpr std::string_view kDeepseekWords = BANYAN_DEEPSEEK_WORDS "[\\r\\n]*|" BANYAN_LINES;
constexpr std::string_view kSparkWords = BANYAN_DEEPSEEK_WORDS R"(|[\r\n]|\s+(?!\S)|\s+)";
constexpr std::string_view kKana = "[一-龥぀-ゟ゠-ヿ]+";
// Written as numbers are the ends of ranges that Unicode's normalization would change: a tool that
// normalizes this file must not change the set.
constexpr std::string_view kDeepseekLetters =
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅ)"
    R"(Ὀ-Ὅὐ-ὗὙὛὝὟ-)"
    "\u1F7D"
    R"(ᾀ-ᾴᾶ-ᾼ)"
    "\u1FBE"
    R"(ῂ-ῄῆ-ῌῐ-)"
    "\u1FD3"
    R"(ῖ-)"
    "\u1FDB"
    R"(ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ)"
    "\u2126\u2128\u212A-\u212D"
    R"(ℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿ)"
    R"(ﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)";
constexpr std::string_view kBloom = R"( ?[^(\s|.,!?…。，、।۔،)]+)";
// Kimi K2 keeps Han runs apart from the other letters.
#define BANYAN_K2_UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]])"
#define BANYAN_K2_LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]])"
constexpr std::string_view kKimiK2 =
    R"([\p{Han}]+|[^\r\n\p{L}\p{N}]?)" BANYAN_K2_UPPER "*" BANYAN_K2_LOWER "+" BANYAN_CONTRACTIONS
    R"(?|[^\r\n\p{L}\p{N}]?)" BANYAN_K2_UPPER "+" BANYAN_K2_LOWER "*" BANYAN_CONTRACTIONS
    "?|\\p{N}{1,3}|" BANYAN_SYMBOLS "|" BANYAN_LINES;

using Table = std::map<std::string_view, GgufPretokenizer>;

Table MakeTable() {
  Table table;
  const auto add = [&](std::initializer_list<std::string_view> names, GgufPretokenizer entry) {
    for (std::string_view name : names) table.emplace(name, entry);
  };
  add({"default"}, {{R"([\p{P}\$\+<=>\^\~\|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}});
  add({"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
       "jina-v5-nano"},
      {.splits = {kLlama3}, .ignore_merges = true, .add_bos = true});
  add({"dbrx", "smaug-bpe", "chatglm-bpe"}, {{kLlama3}});
  add({"glm4", "glm5"}, {.splits = {kLlama3}, .ignore_merges = true});
  add({"jais-2"}, {{kJais2}});
  add({"k2-horizon"},
      {{BANYAN_CONTRACTIONS
        R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}\x{200C}\x{200D}]+|\p{N}{1,3}|)" BANYAN_SYMBOLS
        "|" BANYAN_LINES}});
  add({"deepseek-llm"}, {{"[\r\n]", kDeepseekLetters, R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)",
                          R"(\s+$)", "[一-龥ࠀ-一가-퟿]+", R"(\p{N}+)"}});
  add({"deepseek-coder"},
      {{"[\r\n]", R"(\s?\p{L}+)", R"(\s?\p{P}+)", "[一-龥ࠀ-一가-퟿]+", R"(\p{N})"}});
  add({"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"},
      {{R"(\p{N}{1,3})", kKana, kDeepseekWords}});
  add({"spark2_5"}, {{R"(\p{N}{1,3})", kKana, kSparkWords, R"(\p{N})"}});
  // Digits in threes from the right; runs of the scripts that are written without spaces.
  add({"afmoe"},
      {{R"(\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N})))",
        "[一-鿿㐀-䶿\u8C48-\uFAFF぀-ゟ゠-ヿ･-ﾟ⼀-\u2FDFเ-\u0E7F\u0E80-\u0EFF"
        "ក-\u17FFက-႟ꩠ-ꩿꧠ-\uA9FF가-\uD7AFᄀ-ᇿ]+",
        kDeepseekWords}});
  // It would break the ranges anew each time.
  // clang-format off
  add({"youtu"}, {.splits = {"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+",
                             BANYAN_CASED(BANYAN_CONTRACTIONS "?") "|\\p{N}|" BANYAN_SYMBOLS_SLASH
                                                                   "|" BANYAN_LINES},
                  .ignore_merges = true});
  // clang-format on
  add({"falcon"}, {{R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2, "[0-9][0-9][0-9]"}});
  add({"starcoder", "refact", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"},
      {{R"(\p{N})", kGpt2}});
  add({"command-r"}, {.splits = {R"(\p{N})", kGpt2}, .nfc = true});
  add({"gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0",
       "mellum", "jais", "trillion", "granite-docling", "exaone4"},
      {{kGpt2}});
  add({"modern-bert", "mpt", "olmo"}, {.splits = {kGpt2}, .nfc = true});
  add({"jina-v1-en", "jina-v2-code", "roberta-bpe"}, {.splits = {kGpt2}, .add_eos = true});
  add({"deepseek-r1-qwen", "kormo", "megrez", "stablelm2", "solar-open"}, {{kQwen2}});
  add({"qwen2", "f2llmv2"}, {.splits = {kQwen2}, .nfc = true});
  add({"grok-2"}, {.splits = {kQwen2}, .ignore_merges = true});
  add({"hunyuan"}, {.splits = {kQwen2}, .ignore_merges = true, .nfc = true});
  add({"qwen35"}, {.splits = {kQwen35}, .nfc = true});
  add({"poro-chat", "bloom", "gpt3-finnish"}, {{kBloom}});
  add({"viking"}, {{kBloom, R"(\p{N})"}});
  add({"tekken"}, {.splits = {kTekken}, .ignore_merges = true, .add_bos = true});
  add({"chameleon"},
      {.splits = {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\\t\\n]|    |  )",
                  R"(\p{N})", R"([\p{P}!-/:-@\[-`{-~])", kGpt2},
       .add_bos = true});
  add({"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"}, {{kGpt4o}});
  add({"granite-embed-multi-97m"}, {.splits = {kGpt4o}, .ignore_merges = true});
  add({"tiny_aya", "cohere2moe"}, {.splits = {R"(\d{1,3}(?=(?:\d{3})*\b))", kGpt4o}, .nfc = true});
  // tiktoken's rule, which the model's own code follows, takes whole pieces.
  add({"kimi-k2"}, {.splits = {kKimiK2}, .ignore_merges = true});
  add({"superbpe"}, {{R"(\p{N}+)", R"((?=(\d{3})+(?!\d)))"}});
  add({"bailingmoe", "bailingmoe2", "llada-moe"},
      {{"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|" BANYAN_SYMBOLS
        R"(|\s*[\r\n]|\s+(?!\S)|\s+)"}});
  add({"seed-coder"},
      {{BANYAN_CONTRACTIONS "|" BANYAN_WORD R"(|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|)" BANYAN_LINES}});
  add({"ufakzeka"}, {{BANYAN_WORD "|\\p{N}|" BANYAN_SYMBOLS "|" BANYAN_LINES}});
  add({"laguna"}, {{R"([^\n]+|[\n]+)", kQwen2}});
  add({"exaone-moe"},
      {{BANYAN_CONTRACTIONS
        R"(|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?)"
        R"(|\s*[\r\n]|\s+(?!\S)|\s+)"}});
  add({"minicpm5"}, {.splits = {R"(\p{N}{1,3})", BANYAN_CONTRACTIONS
                                "|" BANYAN_WORD "|\\p{N}+|" BANYAN_SYMBOLS "|" BANYAN_LINES},
                     .ignore_merges = true});
  add({"gemma4", "granite-embed-multi-311m"},
      {.splits = {R"([^\n]+|[\n]+)"}, .always_bos = true, .byte_level = false});
  add({"sarvam-moe"}, {.splits = {R"([^\n]+|[\n]+)"}, .byte_level = false});
  return table;
}

}  // namespace

const GgufPretokenizer* FindGgufPretokenizer(std::string_view name) {
  static const Table table = MakeTable();
  const auto found = table.find(name);
  return found == table.end() ? nullptr : &found->second;
}

}  // namespace banyan::text
