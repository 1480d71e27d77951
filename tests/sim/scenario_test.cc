// SPDX-License-Identifier: Apache-2.0
// Chosen courses of the hash model: long outputs in a window, conversations that go on, one slot
// for all states, samples of one prompt. The output is compared with what it must be each time.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "cache/kinds/kind.h"
#include "sched/scheduler.h"
#include "sim/expected.h"
#include "sim/fake_device.h"

namespace banyan::sim {
namespace {

constexpr int kScenarioVocabulary = 1000;
constexpr uint64_t kWeights = 77;

// A scheduler and a device with two plans in flight.
class Line {
 public:
  Line(std::vector<Layer> layers, std::vector<int64_t> pages, int page_size, int max_running = 4)
      : layers_(layers), device_(layers, pages, page_size, kScenarioVocabulary) {
    SchedulerConfig config;
    for (const Layer& layer : layers) {
      constexpr CacheKindType kTypes[] = {CacheKindType::kFull, CacheKindType::kWindow,
                                          CacheKindType::kChunkedLocal, CacheKindType::kState};
      config.groups.push_back({.type = kTypes[layer.type],
                               .window = layer.window,
                               .sinks = layer.sinks,
                               .segments = {},
                               .name = "kind"});
    }
    config.pages_per_group = std::move(pages);
    config.page_size = page_size;
    config.max_running = max_running;
    config.max_length = 100000;
    config.chunked_prefill_size = 256;
    config.max_inflight = 2;
    scheduler = *Scheduler::Create(std::move(config));
  }

  void Add(std::vector<TokenId> prompt, int outputs, std::vector<int32_t> checkpoints = {},
           std::vector<int32_t> end_ids = {}) {
    Arrival& arrival = input_.arrivals.emplace_back();
    arrival.id = ++last_id;
    arrival.prompt = prompts_[arrival.id] = std::move(prompt);
    arrival.sampling.max_new_tokens = outputs;
    arrival.seed = kWeights;
    arrival.checkpoints = std::move(checkpoints);
    arrival.end_ids = std::move(end_ids);
  }

  // The output thread finds a stop string at this output, when `late` more have been said.
  void StopAt(int index, int late) { stop_ = {last_id, index, late}; }

  // Until all have ended; what they said must be right. `look` is called after each step.
  template <typename Look>
  void Run(Look look) {
    for (int step = 0; step < 100000 && (!scheduler->idle() || !input_.arrivals.empty()); ++step) {
      if (device_.queued()) {
        outcomes_.push_back(device_.Run());
        if (step % 2 == 0 || outcomes_.size() > 1) {
          device_.Ended(outcomes_.front().number);
          input_.outcomes.push_back(std::move(outcomes_.front()));
          outcomes_.erase(outcomes_.begin());
        }
      } else if (!outcomes_.empty()) {
        device_.Ended(outcomes_.front().number);
        input_.outcomes.push_back(std::move(outcomes_.front()));
        outcomes_.erase(outcomes_.begin());
      }
      SchedulerOutput output = scheduler->Step(std::exchange(input_, {}));
      for (const RequestEvent& event : output.events) {
        auto& said = outputs[event.id];
        said.insert(said.end(), event.tokens.begin(), event.tokens.end());
        if (event.finished) {
          ASSERT_TRUE(event.finished->status.ok()) << event.finished->status;
          said.resize(event.output_length);
        }
      }
      if (output.plan) {
        for (const Span& span : output.plan->spans)
          prefilled += static_cast<int>(span.tokens.size());
        device_.Issue(*std::move(output.plan));
      }
      ASSERT_EQ(device_.failure(), "");
      ASSERT_TRUE(scheduler->CheckInvariants().ok()) << scheduler->CheckInvariants();
      if (stop_ && outputs[stop_->id].size() > static_cast<size_t>(stop_->index + stop_->late)) {
        input_.stops.push_back({stop_->id, stop_->index, "stop"});
        stop_.reset();
      }
      look();
    }
    ASSERT_TRUE(scheduler->idle());
    for (const auto& [id, prompt] : prompts_) {
      ASSERT_EQ(outputs[id], ExpectedOutput(layers_, kWeights, prompt, kScenarioVocabulary,
                                            static_cast<int>(outputs[id].size()), 0, {}, -1));
    }
    prompts_.clear();
  }
  void Run() {
    Run([] {});
  }

  std::unique_ptr<Scheduler> scheduler;
  std::map<RequestId, std::vector<TokenId>> outputs;
  RequestId last_id = 0;
  int prefilled = 0;

 private:
  const std::vector<Layer> layers_;
  FakeDevice device_;
  SchedulerInput input_;
  std::vector<StepOutcome> outcomes_;
  std::map<RequestId, std::vector<TokenId>> prompts_;
  struct Stop {
    RequestId id;
    int index, late;
  };
  std::optional<Stop> stop_;
};

std::vector<TokenId> Text(int length, int seed) {
  std::vector<TokenId> tokens(length);
  for (int i = 0; i < length; ++i) tokens[i] = static_cast<TokenId>((i * 131 + seed * 17) % 997);
  return tokens;
}

TEST(ScenarioTest, ALongOutputInAWindowHoldsABoundedNumberOfPages) {
  for (const int sinks : {0, 4}) {
    for (const int page_size : {1, 16}) {
      Line line({{Layer::kWindow, 512, sinks}}, {3000 / page_size}, page_size);
      line.Add(Text(700, 1), 3000);
      int64_t most = 0;
      line.Run([&] {
        // From when the prompt, whose pages are shared by nodes, has left the window.
        if (line.outputs[1].size() < 600) return;
        most = std::max(most, line.scheduler->stats().pools[0].leased);
      });
      // The window, what a late stop or the border of a page may need before it, the pages in which
      // it begins and ends, two steps ahead; the node of the sinks.
      const int before = (CacheKind::kLateStop + page_size - 1) / page_size + 1;
      EXPECT_LE(most, 512 / page_size + before + 2 + 2 + (sinks > 0 ? 256 / page_size : 0));
      EXPECT_GE(most, 512 / page_size);
    }
  }
}

// An agent goes on five times from a long prompt: only what is new is computed, and at most 64
// tokens before it.
TEST(ScenarioTest, AConversationComputesWhatIsNew) {
  const Layer full, window{Layer::kWindow, 128, 0}, state{Layer::kState};
  const std::vector<std::pair<const char*, std::vector<Layer>>> models = {
      {"full", {full}},
      {"window", {window, full}},
      {"state", {state}},
      {"hybrid", {state, full}},
      {"all", {state, window, full}}};
  for (const auto& [name, layers] : models) {
    for (const int page_size : {1, 16, 64}) {
      std::vector<int64_t> pages;
      for (const Layer& layer : layers)
        pages.push_back(layer.type == Layer::kState ? 12 : 4000 / page_size);
      Line line(layers, pages, page_size);
      std::vector<TokenId> text = Text(1500, 2);
      int known = 0;
      for (int turn = 0; turn < 5; ++turn) {
        line.prefilled = 0;
        line.Add(text, 90 + 7 * turn, {static_cast<int32_t>(text.size()) - 5});
        line.Run();
        const int fresh = static_cast<int>(text.size()) - known;
        if (turn > 0) {
          EXPECT_LE(line.prefilled, fresh + 64) << name << ", page " << page_size;
        }
        const auto& said = line.outputs[line.last_id];
        text.insert(text.end(), said.begin(), said.end());
        known = static_cast<int>(text.size());
        for (const TokenId token : Text(40 + 11 * turn, 3 + turn)) text.push_back(token);
      }
    }
  }
}

enum class End { kLength, kToken, kLateStop };

// The same wherever a turn ends, and however: outputs of many lengths, windows and chunks that are
// no multiple of the page.
void GoOn(const std::vector<Layer>& layers, int page_size, End end) {
  std::vector<int64_t> pages;
  for (const Layer& layer : layers)
    pages.push_back(layer.type == Layer::kState ? 12 : 4000 / page_size);
  for (int first = 0; first < 64; first += 13) {
    Line line(layers, pages, page_size);
    std::vector<TokenId> text = Text(300, 2);
    int known = 0;
    for (int turn = 0; turn < 4; ++turn) {
      line.prefilled = 0;
      const int length = 70 + first + 3 * turn;
      const auto expected =
          ExpectedOutput(layers, kWeights, text, kScenarioVocabulary, length, 0, {}, -1);
      line.Add(text, end == End::kLength ? length : 400, {},
               end == End::kToken ? std::vector<int32_t>{expected.back()} : std::vector<int32_t>{});
      if (end == End::kLateStop) line.StopAt(length - 1, CacheKind::kLateStop - 2);
      line.Run();
      const auto& said = line.outputs[line.last_id];
      if (turn > 0) {
        EXPECT_LE(line.prefilled, static_cast<int>(text.size()) - known + 64)
            << "page " << page_size << ", turn " << turn << " of " << said.size() << " tokens";
      }
      text.insert(text.end(), said.begin(), said.end());
      known = static_cast<int>(text.size());
      for (const TokenId token : Text(40, 3 + turn)) text.push_back(token);
    }
  }
}

class GoingOn : public testing::TestWithParam<int> {};

TEST_P(GoingOn, FromWhereverATurnEnds) {
  const Layer full, state{Layer::kState};
  for (const End end : {End::kLength, End::kToken, End::kLateStop}) {
    SCOPED_TRACE(static_cast<int>(end));
    for (const int window : {8, 24, 128}) {
      for (const int sinks : {0, 4}) {
        SCOPED_TRACE(testing::Message() << "window " << window << " + " << sinks);
        GoOn({{Layer::kWindow, window, sinks}, full}, GetParam(), end);
      }
      SCOPED_TRACE(testing::Message() << "chunk " << window);
      GoOn({{Layer::kChunked, window}, full}, GetParam(), end);
    }
    GoOn({state, full}, GetParam(), end);
    SCOPED_TRACE("state and window");
    GoOn({{Layer::kWindow, 24, 0}, state, full}, GetParam(), end);
  }
}

INSTANTIATE_TEST_SUITE_P(Pages, GoingOn, testing::Values(1, 16, 64));

// The same with one that repeats the question: another answer to the same prompt.
TEST(ScenarioTest, ARepeatedPromptIsNotComputedAgain) {
  for (const int page_size : {1, 16}) {
    Line line({{Layer::kState}, {}}, {8, 2000 / page_size}, page_size);
    line.Add(Text(1000, 2), 20);
    line.Run();
    line.prefilled = 0;
    line.Add(Text(1000, 2), 30);
    line.Run();
    EXPECT_LE(line.prefilled, page_size);
  }
}

TEST(ScenarioTest, OneSlotForAllStatesIsEnough) {
  Line line({{Layer::kState}, {}}, {1, 400}, 4);
  for (int i = 0; i < 5; ++i) line.Add(Text(100 + 7 * i, i), 30);
  line.Run();
  for (int i = 0; i < 5; ++i) line.Add(Text(100 + 7 * i, i), 30);
  line.Run();
  EXPECT_EQ(line.scheduler->stats().pools[0].leased, 0);
}

TEST(ScenarioTest, SamplesShareTheirPrompt) {
  for (const auto& layers : std::vector<std::vector<Layer>>{
           {{}}, {{Layer::kWindow, 64, 0}, {}}, {{Layer::kState}, {}}}) {
    std::vector<int64_t> pages;
    for (const Layer& layer : layers) pages.push_back(layer.type == Layer::kState ? 20 : 200);
    Line line(layers, pages, 16, 8);
    for (int i = 0; i < 6; ++i) line.Add(Text(1000, 2), 25);
    line.Run();
    EXPECT_LE(line.prefilled, 1000 + 5 * 16);
  }
}

}  // namespace
}  // namespace banyan::sim
