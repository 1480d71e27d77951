// SPDX-License-Identifier: Apache-2.0
// The same answer every way (docs/design.md section 8.3), on tiny models through the whole engine:
// overlap, chunking, page size, cache warm or cold, retraction, neighbours. On the CPU that means
// equal ids and equal bits of every log-probability.
//
// Every setting alone on all families, all pairs of settings on a family of each kind of cache;
// with BANYAN_SAME_ANSWER=product in the environment EveryPairOfSettings takes all families, and
// every combination instead of every pair (432 of each family); with BANYAN_SAME_ANSWER=models the
// settings alone are tried on every folder of tests/golden/models.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <map>
#include <set>

#include "engine/engine.h"

namespace banyan {
namespace {

namespace fs = std::filesystem;

struct Setting {
  std::string name;
  int page_size = 16;
  int chunk = 2048;
  bool overlap = true;
  bool radix_cache = true;
  bool mixed_chunk = true;
  int64_t max_total_tokens = 4096;
  int max_running = 16;
  int threads = 0;
  int retract_interval = 0;
  int ranks = 1;
};

// What one request gave, as far as it may not depend on the way.
struct Answer {
  std::vector<TokenId> ids;
  std::vector<std::optional<float>> prompt, output;
  bool operator==(const Answer&) const = default;
};

struct Work {
  std::vector<GenerateRequest> requests;
  int repeats = 1;          // the whole list again, now on a warm cache
  bool one_by_one = false;  // else all at once
};

int retractions, cached;  // of the last RunEngine

constexpr int kLongest = 192;  // tokens of a request of MakeRequests, with its output

std::vector<Answer> RunEngine(const fs::path& model, const Setting& setting, const Work& work) {
  EngineConfig config;
  config.model_path = model.string();
  config.skip_tokenizer_init = true;
  config.dtype = "float32";
  config.page_size = setting.page_size;
  config.chunked_prefill_size = setting.chunk;
  config.disable_overlap_schedule = !setting.overlap;
  config.disable_radix_cache = !setting.radix_cache;
  config.enable_mixed_chunk = setting.mixed_chunk;
  config.max_total_tokens = setting.max_total_tokens;
  config.max_running_requests = setting.max_running;
  config.threads = setting.threads;
  config.test_retract_interval = setting.retract_interval;
  config.dp_size = setting.ranks;
  auto engine = Engine::Start(config);
  EXPECT_TRUE(engine.ok()) << Message(engine.status());
  if (!engine.ok() || (*engine)->model().context_length < kLongest) return {};

  std::vector<Answer> answers;
  const auto collect = [&](std::future<GenerateUpdate>& end) {
    const GenerateUpdate update = end.get();
    EXPECT_NE(update.finish->kind, FinishReason::Kind::kAbort) << Message(update.finish->status);
    Answer& answer = answers.emplace_back();
    answer.ids = update.tokens;
    for (const TokenLogprob& entry : update.prompt_logprobs) answer.prompt.push_back(entry.logprob);
    for (const TokenLogprob& entry : update.logprobs) answer.output.push_back(entry.logprob);
    retractions += update.retractions;
    cached += update.cached_tokens;
  };
  for (int repeat = 0; repeat < work.repeats; ++repeat) {
    std::vector<std::future<GenerateUpdate>> open;
    for (GenerateRequest request : work.requests) {
      request.want_text = request.stream = false;
      auto end = std::make_shared<std::promise<GenerateUpdate>>();
      open.push_back(end->get_future());
      const auto id = (*engine)->Submit(
          request, [end](GenerateUpdate update) { end->set_value(std::move(update)); });
      EXPECT_TRUE(id.ok()) << Message(id.status());
      if (!work.one_by_one) continue;
      collect(open.back());
      open.pop_back();
    }
    for (auto& end : open) collect(end);
  }
  return answers;
}

// Prompts of several lengths, some with a common beginning, greedy and drawn, with and without
// log-probabilities of the prompt.
std::vector<GenerateRequest> MakeRequests(int count = 8) {
  std::vector<GenerateRequest> requests;
  for (int i = 0; i < count; ++i) {
    GenerateRequest& request = requests.emplace_back();
    const int length = 5 + 23 * (i % 8);
    for (int t = 0; t < length; ++t) {
      const int base = t < 60 ? 0 : i;
      request.input_ids.push_back((t * 131 + base * 977 + t * t * 7) % 127);
    }
    request.sampling.max_new_tokens = 24;
    request.sampling.ignore_eos = true;
    request.sampling.temperature = i % 2 == 0 ? 0.0f : 0.8f;
    request.sampling.seed = 1234 + i;
    if (i % 4 == 3) {
      request.sampling.top_p = 0.9f;
      request.sampling.top_k = 50;
      request.sampling.frequency_penalty = 0.5f;
      request.sampling.repetition_penalty = 1.2f;
    }
    request.logprobs.enabled = true;
    if (i % 3 == 0) request.logprobs.prompt_start = 0;
  }
  return requests;
}

// By the name of a folder of tests/golden/models.
class SameAnswer : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (Plain(MakeRequests().size()).empty())
      GTEST_SKIP() << "its context is shorter than " << kLongest;
  }

  fs::path Model() const {
    return fs::path(BANYAN_SOURCE_DIR) / "tests/golden/models" / GetParam();
  }

  // The answers to so many requests one at a time, whole, without a cache. None: the context is too
  // short for them.
  const std::vector<Answer>& Plain(size_t count) const {
    static std::map<std::pair<std::string, size_t>, std::vector<Answer>> plains;
    std::vector<Answer>& plain = plains[{GetParam(), count}];
    if (plain.empty())
      plain = RunEngine(Model(), {.overlap = false, .radix_cache = false, .mixed_chunk = false},
                        {.requests = MakeRequests(static_cast<int>(count)), .one_by_one = true});
    return plain;
  }

  // Every answer of `work` under `setting` is that of the plain way.
  void Expect(const Setting& setting, Work work) {
    const std::vector<Answer>& plain = Plain(work.requests.size());
    retractions = cached = 0;
    const std::vector<Answer> answers = RunEngine(Model(), setting, work);
    ASSERT_EQ(answers.size(), plain.size() * work.repeats);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      const Answer& expected = plain[i % plain.size()];
      EXPECT_EQ(answers[i].ids, expected.ids) << "request " << i;
      EXPECT_TRUE(answers[i].output == expected.output) << "output logprobs of request " << i;
      EXPECT_TRUE(answers[i].prompt == expected.prompt) << "prompt logprobs of request " << i;
    }
  }
};

TEST_P(SameAnswer, AllAtOnceWithEverythingOn) { Expect({}, {.requests = MakeRequests()}); }

TEST_P(SameAnswer, WithoutOverlap) { Expect({.overlap = false}, {.requests = MakeRequests()}); }

TEST_P(SameAnswer, InChunks) {
  Expect({.chunk = 7}, {.requests = MakeRequests()});
  Expect({.chunk = 64}, {.requests = MakeRequests()});
  Expect({.chunk = 64, .mixed_chunk = false}, {.requests = MakeRequests()});
}

TEST_P(SameAnswer, WithEveryPageSize) {
  Expect({.page_size = 1}, {.requests = MakeRequests()});
  Expect({.page_size = 64}, {.requests = MakeRequests()});
}

TEST_P(SameAnswer, OnAWarmCache) {
  Expect({}, {.requests = MakeRequests(), .repeats = 2});
  EXPECT_GT(cached, GetParam() == "llama" ? 500 : 0);
  Expect({.page_size = 1, .chunk = 64}, {.requests = MakeRequests(), .repeats = 2});
  Expect({}, {.requests = MakeRequests(), .repeats = 2, .one_by_one = true});
}

TEST_P(SameAnswer, WhenMemoryRunsOut) {
  Expect({.page_size = 4, .max_total_tokens = 420}, {.requests = MakeRequests()});
  Expect({.page_size = 1, .radix_cache = false, .max_total_tokens = 400},
         {.requests = MakeRequests()});
}

TEST_P(SameAnswer, WhenRetracted) {
  Expect({.retract_interval = 3}, {.requests = MakeRequests()});
  EXPECT_GT(retractions, 3);
  Expect({.overlap = false, .radix_cache = false, .retract_interval = 5},
         {.requests = MakeRequests()});
}

TEST_P(SameAnswer, OneAtATimeAndManyAtOnce) {
  Expect({.max_running = 1}, {.requests = MakeRequests()});
  Expect({.max_total_tokens = 8192, .max_running = 32}, {.requests = MakeRequests(32)});
}

TEST_P(SameAnswer, OnOneThreadAndTwoAtATime) {
  Expect({.max_running = 2, .threads = 1}, {.requests = MakeRequests()});
}

// Two ranks run one model, at the same time.
TEST_P(SameAnswer, OnTwoRanks) {
  Expect({.chunk = 64, .ranks = 2}, {.requests = MakeRequests(), .repeats = 2});
}

// Full attention, windows without and with sinks, chunks of positions, experts with each kind of
// routing, latents without and with a choice of positions (own and shared), differences of two
// maps, positions chosen by their values, ropes that look at how long the text is.
const std::vector<std::string> kFamilies = {
    "llama",         "mistral",       "gemma2",       "gemma3_text",
    "cohere2",       "exaone4",       "gpt_oss",      "qwen3_moe",
    "llama4_text",   "glm4_moe",      "phimoe",       "qwen2_moe_mixed",
    "deepseek_v2",   "deepseek_v3",   "deepseek_v32", "glm_moe_dsa_shared",
    "minicpm3",      "mamba2",        "falcon_h1",    "jamba",
    "lfm2",          "minimax",       "nemotron_h",   "qwen3_next_mixed",
    "qwen3_5_text",  "diffllama",     "doge",         "phi3_long",
    "llama_dynamic", "llama_longrope"};
// A window, a latent, recurrent state beside full attention and alone.
const std::vector<std::string> kOfEachKind = {"llama", "gemma3_text", "deepseek_v32",
                                              "qwen3_next_mixed", "mamba2"};

bool Asked(std::string_view what) {
  const char* asked = std::getenv("BANYAN_SAME_ANSWER");
  return asked != nullptr && asked == what;
}

std::vector<std::string> Families() {
  if (!Asked("models")) return kFamilies;
  std::vector<std::string> folders;
  for (const auto& entry :
       fs::directory_iterator(fs::path(BANYAN_SOURCE_DIR) / "tests/golden/models"))
    folders.push_back(entry.path().filename());
  std::sort(folders.begin(), folders.end());
  return folders;
}

std::string NameOf(const testing::TestParamInfo<std::string>& family) { return family.param; }

INSTANTIATE_TEST_SUITE_P(Models, SameAnswer, testing::ValuesIn(Families()), NameOf);

enum CacheUse { kNoCache, kColdCache, kWarmCache, kSmallCache };
// Page size, chunk, batch, cache, overlap, plans from one retraction to the next.
const std::vector<std::vector<int>> kSettings = {
    {1, 16, 64},   {7, 64, -1}, {1, 8, 32}, {kNoCache, kColdCache, kWarmCache, kSmallCache},
    {true, false}, {0, 3}};
using Way = std::array<int, 6>;  // a value of each

std::vector<Way> Product() {
  std::vector<Way> ways = {{}};
  for (size_t at = 0; at < kSettings.size(); ++at) {
    std::vector<Way> longer;
    for (Way way : ways) {
      for (const int value : kSettings[at]) {
        way[at] = value;
        longer.push_back(way);
      }
    }
    ways = std::move(longer);
  }
  return ways;
}

// Ways in which every two values of two settings meet, found by taking the one with most new pairs
// as long as there are any.
std::vector<Way> AllPairs() {
  using Pair = std::array<int, 4>;
  const auto pairs = [](const Way& way) {
    std::vector<Pair> all;
    for (int i = 0; i < static_cast<int>(way.size()); ++i)
      for (int j = 0; j < i; ++j) all.push_back({i, way[i], j, way[j]});
    return all;
  };
  const std::vector<Way> product = Product();
  std::set<Pair> left;
  for (const Way& way : product)
    for (const Pair& pair : pairs(way)) left.insert(pair);
  const auto fresh = [&](const Way& way) {
    const auto all = pairs(way);
    return std::count_if(all.begin(), all.end(),
                         [&](const Pair& pair) { return left.contains(pair); });
  };
  std::vector<Way> ways;
  while (!left.empty()) {
    ways.push_back(
        *std::max_element(product.begin(), product.end(),
                          [&](const Way& a, const Way& b) { return fresh(a) < fresh(b); }));
    for (const Pair& pair : pairs(ways.back())) left.erase(pair);
  }
  return ways;
}

class SameAnswerInAllWays : public SameAnswer {};

TEST_P(SameAnswerInAllWays, EveryPairOfSettings) {
  for (const Way& way : Asked("product") ? Product() : AllPairs()) {
    const auto [page_size, chunk, batch, cache, overlap, retract_interval] = way;
    SCOPED_TRACE(testing::Message()
                 << "page " << page_size << ", chunk " << chunk << ", batch " << batch << ", cache "
                 << cache << ", overlap " << overlap << ", retract " << retract_interval);
    // A small cache holds two or three of them: the first are gone when they come again.
    Expect({.page_size = page_size,
            .chunk = chunk,
            .overlap = overlap != 0,
            .radix_cache = cache != kNoCache,
            .max_total_tokens = cache == kSmallCache ? 512 : 8192,
            .max_running = batch,
            .retract_interval = retract_interval},
           {.requests = MakeRequests(std::max(batch, 8)),
            .repeats = cache == kWarmCache || cache == kSmallCache ? 2 : 1});
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, SameAnswerInAllWays,
                         testing::ValuesIn(Asked("product") ? kFamilies : kOfEachKind), NameOf);

}  // namespace
}  // namespace banyan
