// SPDX-License-Identifier: Apache-2.0
// The engine over a runner that the test scripts: every accepted request ends exactly once, on
// every path.
#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "engine/byte_tokenizer.h"
#include "engine/engine_impl.h"
#include "run/echo_runner.h"
#include "sched/request_state.h"

namespace banyan {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int kVocab = kByteTokenizerEnd + 1;
constexpr int kRows = 8;

// Says "abcdefghij" over and over, after any prompt; `script` may replace a step's outcome.
class ScriptedRunner final : public StepRunner {
 public:
  using Script = std::function<std::optional<StepOutcome>(const StepPlan& plan)>;

  explicit ScriptedRunner(Script script) : echo_(Successors(), kRows), script_(std::move(script)) {}
  StepOutcome Execute(const StepPlan& plan) override {
    StepOutcome outcome = echo_.Execute(plan);
    if (script_) {
      if (auto other = script_(plan)) return *std::move(other);
    }
    return outcome;
  }
  std::string stage() const override { return "layer 3 attention"; }

 private:
  static std::vector<TokenId> Successors() {
    std::vector<TokenId> next(kVocab, 'a');
    for (int c = 'a'; c < 'j'; ++c) next[c] = c + 1;
    return next;
  }
  EchoRunner echo_;
  Script script_;
};

// Collects the updates of requests; waits for their ends. Declared before the engine, which may
// call it until its end.
class Receiver {
 public:
  struct Sample {
    std::string text;
    std::vector<TokenId> tokens;
    std::vector<TokenLogprob> logprobs;
    int updates = 0;
    int ends = 0;
    GenerateUpdate last;
  };

  GenerateSink Sink(int request) {
    return [this, request](GenerateUpdate update) {
      std::unique_lock lock(mutex_);
      Sample& sample = samples_[{request, update.index}];
      EXPECT_EQ(sample.ends, 0) << "an update after the last one";
      sample.text += update.text;
      sample.tokens.insert(sample.tokens.end(), update.tokens.begin(), update.tokens.end());
      sample.logprobs.insert(sample.logprobs.end(), update.logprobs.begin(), update.logprobs.end());
      ++sample.updates;
      sample.ends += update.finish.has_value();
      ends_ += update.finish.has_value();
      sample.last = std::move(update);
      changed_.notify_all();
    };
  }
  // The sample, once it has ended.
  Sample End(int request, int index = 0) {
    std::unique_lock lock(mutex_);
    const bool ended = changed_.wait_for(lock, seconds(60), [&] {
      return samples_[{request, index}].ends > 0;
    });
    EXPECT_TRUE(ended) << "request " << request << " has not ended";
    return samples_[{request, index}];
  }
  void WaitForTokens(int request, std::size_t tokens) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, seconds(60), [&] {
      return samples_[{request, 0}].tokens.size() >= tokens;
    }));
  }
  int ends() {
    std::unique_lock lock(mutex_);
    return ends_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::pair<int, int>, Sample> samples_;
  int ends_ = 0;
};

struct Settings {
  ScriptedRunner::Script script;
  int max_inflight = 2;
  int64_t pages = 64;  // of 4 tokens
  double watchdog = 0;
  int max_queued = 1000;
  int stream_interval = 1;
  RequestFactory make_request;
};

std::unique_ptr<Engine> MakeTestEngine(Settings settings = {}) {
  EngineParts parts;
  parts.tokenizer = *MakeByteTokenizer();
  parts.model.vocab_size = kVocab;
  parts.model.context_length = 200;
  parts.model.cache_groups = {CacheGroupSpec{.name = "full"}};
  parts.config.model_path = parts.config.served_model_name = "test";
  parts.config.context_length = 200;
  parts.config.max_queued_requests = settings.max_queued;
  parts.config.watchdog_timeout = settings.watchdog;
  parts.config.stream_interval = settings.stream_interval;
  parts.scheduler.groups = parts.model.cache_groups;
  parts.scheduler.pages_per_group = {settings.pages};
  parts.scheduler.page_size = 4;
  parts.scheduler.max_running = kRows;
  parts.scheduler.max_queued = settings.max_queued;
  parts.scheduler.max_length = std::min<int64_t>(200, settings.pages * 4);
  parts.scheduler.max_inflight = settings.max_inflight;
  parts.scheduler.make_request = std::move(settings.make_request);
  parts.config.max_total_tokens = settings.pages * 4;
  parts.end_ids = {kByteTokenizerEnd};
  parts.runner = std::make_unique<ScriptedRunner>(std::move(settings.script));
  auto engine = MakeEngine(std::move(parts));
  EXPECT_TRUE(engine.ok()) << Message(engine.status());
  return *std::move(engine);
}

GenerateRequest Request(std::string_view prompt, int max_new_tokens) {
  GenerateRequest request;
  for (const char c : prompt) request.input_ids.push_back(static_cast<unsigned char>(c));
  request.sampling.max_new_tokens = max_new_tokens;
  return request;
}

// Sleeps in every step, so that a test can act while requests run.
ScriptedRunner::Script Slow(milliseconds time) {
  return [time](const StepPlan&) -> std::optional<StepOutcome> {
    std::this_thread::sleep_for(time);
    return std::nullopt;
  };
}

TEST(Engine, StreamsTextToItsEnd) {
  Receiver receiver;
  auto engine = MakeTestEngine();
  ASSERT_TRUE(engine->Submit(Request("hello c", 12), receiver.Sink(0)).ok());
  const auto sample = receiver.End(0);
  EXPECT_EQ(sample.text, "defghijabcde");
  EXPECT_EQ(sample.tokens.size(), 12u);
  EXPECT_LE(sample.updates, 12);  // steps that end together are told together
  EXPECT_EQ(sample.last.finish->kind, FinishReason::Kind::kLength);
  EXPECT_EQ(sample.last.completion_tokens, 12);
  EXPECT_EQ(sample.last.prompt_tokens, 7);
}

TEST(Engine, GivesOneUpdateWithoutStreamAndBatchesByTheInterval) {
  Receiver receiver;
  auto engine = MakeTestEngine({.stream_interval = 5});
  GenerateRequest whole = Request("a", 12);
  whole.stream = false;
  ASSERT_TRUE(engine->Submit(whole, receiver.Sink(0)).ok());
  ASSERT_TRUE(engine->Submit(Request("a", 12), receiver.Sink(1)).ok());
  EXPECT_EQ(receiver.End(0).updates, 1);
  EXPECT_EQ(receiver.End(0).text, "bcdefghijabc");
  EXPECT_LE(receiver.End(1).updates, 4);  // 1, 5, 5, and the last
  EXPECT_EQ(receiver.End(1).text, "bcdefghijabc");
}

TEST(Engine, StopsAtAStringAcrossTokensAndCutsThere) {
  for (const int inflight : {1, 2}) {
    Receiver receiver;
    auto engine = MakeTestEngine({.max_inflight = inflight});
    GenerateRequest request = Request("a", 100);
    request.sampling.stop = {"hij"};
    request.logprobs.enabled = true;
    ASSERT_TRUE(engine->Submit(request, receiver.Sink(0)).ok());
    request.sampling.no_stop_trim = true;
    ASSERT_TRUE(engine->Submit(request, receiver.Sink(1)).ok());
    const auto sample = receiver.End(0);
    EXPECT_EQ(sample.text, "bcdefg");
    EXPECT_EQ(sample.tokens.size(), 9u);
    EXPECT_EQ(sample.logprobs.size(), 9u);
    EXPECT_EQ(sample.last.completion_tokens, 9);
    EXPECT_EQ(sample.last.finish->kind, FinishReason::Kind::kStop);
    EXPECT_EQ(sample.last.finish->stop_string, "hij");
    EXPECT_EQ(receiver.End(1).text, "bcdefghij");
  }
}

TEST(Engine, StopsAtATokenAndLeavesItsTextOut) {
  Receiver receiver;
  auto engine = MakeTestEngine();
  GenerateRequest request = Request("a", 100);
  request.sampling.stop_token_ids = {'e'};
  ASSERT_TRUE(engine->Submit(request, receiver.Sink(0)).ok());
  request.sampling.no_stop_trim = true;
  ASSERT_TRUE(engine->Submit(request, receiver.Sink(1)).ok());
  const auto sample = receiver.End(0);
  EXPECT_EQ(sample.text, "bcd");
  EXPECT_EQ(sample.last.completion_tokens, 4);
  EXPECT_EQ(sample.last.finish->stop_token, 'e');
  EXPECT_EQ(receiver.End(1).text, "bcde");
}

TEST(Engine, AnswersEverySampleOfN) {
  Receiver receiver;
  auto engine = MakeTestEngine();
  GenerateRequest request = Request("abcdefgh", 5);
  request.sampling.n = 3;
  ASSERT_TRUE(engine->Submit(request, receiver.Sink(0)).ok());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(receiver.End(0, i).text, "ijabc");
}

TEST(Engine, TellsLogprobsOfPromptAndOutput) {
  Receiver receiver;
  auto engine = MakeTestEngine();
  GenerateRequest request = Request("abx", 2);
  request.logprobs = {.enabled = true, .prompt_start = 0, .top_n = 1};
  request.stream = false;
  ASSERT_TRUE(engine->Submit(request, receiver.Sink(0)).ok());
  const GenerateUpdate update = receiver.End(0).last;
  ASSERT_EQ(update.prompt_logprobs.size(), 3u);
  EXPECT_EQ(update.prompt_logprobs[0].id, 'a');
  EXPECT_EQ(update.prompt_logprobs[0].logprob, std::nullopt);
  EXPECT_EQ(update.prompt_logprobs[1].logprob, 0.0f);
  EXPECT_LT(update.prompt_logprobs[2].logprob, -1e30f);
  ASSERT_EQ(update.logprobs.size(), 2u);
  EXPECT_EQ(update.logprobs[0].top[0].second, 'a');
}

TEST(Engine, AbortEndsARunningRequest) {
  Receiver receiver;
  auto engine = MakeTestEngine({.script = Slow(milliseconds(2))});
  const RequestId id = *engine->Submit(Request("a", 190), receiver.Sink(0));
  receiver.WaitForTokens(0, 3);
  engine->Abort(id);
  const auto sample = receiver.End(0);
  EXPECT_EQ(sample.last.finish->kind, FinishReason::Kind::kAbort);
  EXPECT_LT(sample.tokens.size(), 190u);
  engine->Abort(id);
}

TEST(Engine, AbortsByTheBeginningOfAName) {
  Receiver receiver;
  auto engine = MakeTestEngine({.script = Slow(milliseconds(2))});
  int number = 0;
  for (const char* rid : {"job-1", "job-2", "other"}) {
    GenerateRequest request = Request("a", 60);
    request.rid = rid;
    request.sampling.n = 2;
    ASSERT_TRUE(engine->Submit(request, receiver.Sink(number++)).ok());
  }
  EXPECT_EQ(engine->AbortByRid("job-", false), 2);
  for (const int request : {0, 1}) {
    for (const int index : {0, 1})
      EXPECT_EQ(receiver.End(request, index).last.finish->kind, FinishReason::Kind::kAbort);
  }
  EXPECT_EQ(receiver.End(2, 1).last.finish->kind, FinishReason::Kind::kLength);
}

// While it is on its way as well: what is found does not run.
TEST(Engine, AnAbortThatFindsARequestEndsAllItsSamples) {
  constexpr int kRounds = 20, kSamples = 128;
  Receiver receiver;
  auto engine = MakeTestEngine({.max_queued = kRounds * kSamples});
  std::promise<void> paused, resumed;
  engine->Pause(PauseMode::kInPlace, [&](const Status&) { paused.set_value(); });
  paused.get_future().wait();
  for (int round = 0; round < kRounds; ++round) {
    GenerateRequest request = Request(std::string(190, 'a'), 1);
    request.rid = fmt::format("{}.", round);
    request.sampling.n = kSamples;
    std::thread aborts([&engine, rid = request.rid] {
      while (engine->AbortByRid(rid, false) == 0) std::this_thread::yield();
    });
    EXPECT_TRUE(engine->Submit(request, receiver.Sink(round)).ok());
    aborts.join();
  }
  engine->Continue([&](const Status&) { resumed.set_value(); });
  resumed.get_future().wait();
  int ran = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (int index = 0; index < kSamples; ++index)
      ran += receiver.End(round, index).last.finish->kind != FinishReason::Kind::kAbort;
  }
  EXPECT_EQ(ran, 0);
}

TEST(Engine, RefusesWhenTheQueueIsFull) {
  Receiver receiver;
  auto engine = MakeTestEngine({.script = Slow(milliseconds(20)), .max_queued = 2});
  std::vector<int> accepted;
  Status refused;
  for (int i = 0; i < 40; ++i) {
    const auto id = engine->Submit(Request("a", 100), receiver.Sink(i));
    if (id.ok()) {
      accepted.push_back(i);
    } else {
      refused = id.status();
    }
  }
  EXPECT_GE(accepted.size(), 2u);
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_GE(engine->AbortByRid("", true), 2);
  for (const int i : accepted)
    EXPECT_EQ(receiver.End(i).last.finish->kind, FinishReason::Kind::kAbort);
}

// The bound of the queue is of those that wait, not of those that find a row.
TEST(Engine, FreeRowsAreNoPartOfTheQueue) {
  std::atomic<bool> go{false};
  Receiver receiver;
  auto engine = MakeTestEngine({.script = [&](const StepPlan& plan) -> std::optional<StepOutcome> {
                                  while (plan.number >= 3 && !go)
                                    std::this_thread::sleep_for(milliseconds(1));
                                  return std::nullopt;
                                },
                                .max_queued = 2});
  GenerateRequest request = Request("a", 20);
  request.sampling.n = kRows + 2;
  EXPECT_TRUE(engine->Submit(request, receiver.Sink(0)).ok());
  receiver.WaitForTokens(0, 1);
  // Every row is taken now, and every place in the queue.
  EXPECT_TRUE(engine->Submit(Request("a", 1), receiver.Sink(1)).ok());
  const Status full = receiver.End(1).last.finish->status;
  EXPECT_EQ(full.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(Message(full), HasSubstr("2 requests waiting"));
  go = true;
  for (int i = 0; i < kRows + 2; ++i)
    EXPECT_EQ(receiver.End(0, i).last.finish->kind, FinishReason::Kind::kLength);
  request.sampling.n = kRows + 3;
  EXPECT_EQ(engine->Submit(request, receiver.Sink(2)).status().code(),
            StatusCode::kResourceExhausted);
}

TEST(Engine, AnErrorOfOneRowEndsThatRowAlone) {
  auto engine = MakeTestEngine({.script = [](const StepPlan& plan) -> std::optional<StepOutcome> {
    StepOutcome outcome;
    outcome.number = plan.number;
    bool bad = false;
    for (const Span& span : plan.spans) {
      RowOutcome& row = outcome.rows.emplace_back();
      row.row = span.row;
      if (!span.tokens.empty() && span.tokens.back() == '!') {
        row.error = Internal("not finite");
        bad = true;
      } else if (span.sample) {
        row.accepted = {'z'};
      }
    }
    return bad ? std::optional(outcome) : std::nullopt;
  }});
  Receiver receiver;
  ASSERT_TRUE(engine->Submit(Request("good", 20), receiver.Sink(0)).ok());
  ASSERT_TRUE(engine->Submit(Request("bad!", 20), receiver.Sink(1)).ok());
  const auto bad = receiver.End(1);
  EXPECT_EQ(bad.last.finish->kind, FinishReason::Kind::kAbort);
  EXPECT_EQ(bad.last.finish->status.code(), StatusCode::kInternal);
  EXPECT_EQ(receiver.End(0).last.finish->kind, FinishReason::Kind::kLength);
}

TEST(Engine, AFailedOrThrowingStepEndsItsRequestsAndNoMore) {
  for (const bool throws : {false, true}) {
    std::atomic<int> steps{0};
    auto engine =
        MakeTestEngine({.script = [&](const StepPlan& plan) -> std::optional<StepOutcome> {
          if (++steps != 4) return std::nullopt;
          if (throws) throw std::runtime_error("the device is gone");
          StepOutcome outcome;
          outcome.number = plan.number;
          outcome.error = Internal("the device is gone");
          return outcome;
        }});
    Receiver receiver;
    ASSERT_TRUE(engine->Submit(Request("a", 50), receiver.Sink(0)).ok());
    const auto failed = receiver.End(0);
    EXPECT_EQ(failed.last.finish->kind, FinishReason::Kind::kAbort);
    EXPECT_THAT(Message(failed.last.finish->status), HasSubstr("the device is gone"));
    ASSERT_TRUE(engine->Submit(Request("a", 5), receiver.Sink(1)).ok());
    EXPECT_EQ(receiver.End(1).last.finish->kind, FinishReason::Kind::kLength);
  }
}

TEST(Engine, TheWatchdogGivesUpAStuckStep) {
  std::atomic<bool> stuck{true};
  auto engine = MakeTestEngine({.script = [&](const StepPlan& plan) -> std::optional<StepOutcome> {
                                  while (plan.number >= 3 && stuck)
                                    std::this_thread::sleep_for(milliseconds(1));
                                  return std::nullopt;
                                },
                                .watchdog = 0.2});
  Receiver receiver;
  GenerateRequest request = Request("a", 100);
  request.rid = "my-request";
  testing::internal::CaptureStderr();  // where the log goes before InitLog
  ASSERT_TRUE(engine->Submit(request, receiver.Sink(0)).ok());
  const auto sample = receiver.End(0);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("the device is in layer 3 attention of step 3"));
  EXPECT_THAT(log, HasSubstr("Ending its requests: my-request"));
  EXPECT_EQ(sample.last.finish->kind, FinishReason::Kind::kAbort);
  EXPECT_EQ(sample.last.finish->status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(engine->Snapshot().healthy);
  stuck = false;
  ASSERT_TRUE(engine->Submit(Request("a", 5), receiver.Sink(1)).ok());
  EXPECT_EQ(receiver.End(1).last.finish->kind, FinishReason::Kind::kLength);
  EXPECT_TRUE(engine->Snapshot().healthy);
}

TEST(Engine, ADeadlineEndsARequest) {
  Receiver receiver;
  auto engine = MakeTestEngine({.script = Slow(milliseconds(5))});
  GenerateRequest request = Request("a", 190);
  request.timeout = milliseconds(50);
  ASSERT_TRUE(engine->Submit(request, receiver.Sink(0)).ok());
  EXPECT_EQ(receiver.End(0).last.finish->status.code(), StatusCode::kDeadlineExceeded);
}

TEST(Engine, DrainsAndRefusesMeanwhile) {
  Receiver receiver;
  auto engine = MakeTestEngine({.script = Slow(milliseconds(1))});
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(engine->Submit(Request("a", 20), receiver.Sink(i)).ok());
  std::promise<void> drained;
  engine->Drain([&] { drained.set_value(); });
  EXPECT_EQ(engine->Submit(Request("a", 1), receiver.Sink(9)).status().code(),
            StatusCode::kUnavailable);
  drained.get_future().wait();
  EXPECT_EQ(receiver.ends(), 5);
  bool at_once = false;
  engine->Drain([&] { at_once = true; });
  EXPECT_TRUE(at_once);
}

// Holds the engine's thread until it is let go, so that what is posted meanwhile comes at once.
class Hold {
 public:
  explicit Hold(Engine& engine) {
    engine.InspectCache(0, [this, freed = freed_.get_future().share()](const auto&) {
      held_.set_value();
      freed.wait();
    });
    held_.get_future().wait();
  }
  void Free() { freed_.set_value(); }

 private:
  std::promise<void> held_, freed_;
};

TEST(Engine, APauseThatEndsAtOnceStillAborts) {
  Receiver receiver;
  std::promise<Status> paused, resumed;
  auto engine = MakeTestEngine({.script = Slow(milliseconds(1))});
  ASSERT_TRUE(engine->Submit(Request("a", 100), receiver.Sink(0)).ok());
  receiver.WaitForTokens(0, 2);
  Hold hold(*engine);
  engine->Pause(PauseMode::kAbort, [&](Status status) { paused.set_value(std::move(status)); });
  engine->Continue([&](Status status) { resumed.set_value(std::move(status)); });
  ASSERT_TRUE(engine->Submit(Request("a", 5), receiver.Sink(1)).ok());
  hold.Free();
  EXPECT_TRUE(paused.get_future().get().ok());
  EXPECT_TRUE(resumed.get_future().get().ok());
  EXPECT_EQ(receiver.End(0).last.finish->kind, FinishReason::Kind::kAbort);
  EXPECT_EQ(receiver.End(1).last.finish->kind, FinishReason::Kind::kLength);
}

TEST(Engine, ADrainCannotBePaused) {
  Receiver receiver;
  std::promise<void> drained;
  std::promise<Status> paused;
  auto engine = MakeTestEngine({.script = Slow(milliseconds(1))});
  ASSERT_TRUE(engine->Submit(Request("a", 50), receiver.Sink(0)).ok());
  engine->Drain([&] { drained.set_value(); });
  engine->Pause(PauseMode::kInPlace, [&](Status status) { paused.set_value(std::move(status)); });
  ASSERT_EQ(paused.get_future().get().code(), StatusCode::kUnavailable);
  EXPECT_EQ(receiver.End(0).last.finish->kind, FinishReason::Kind::kLength);
  drained.get_future().wait();
}

// An exception on the engine's thread ends the engine: everyone is told, callers who throw again
// included.
TEST(Engine, AFailedEngineEndsAllThatWaits) {
  Receiver receiver;
  std::promise<Status> resumed, flushed, inspected;
  auto engine = MakeTestEngine({.script = Slow(milliseconds(1))});
  ASSERT_TRUE(engine->Submit(Request("a", 150), receiver.Sink(0)).ok());
  receiver.WaitForTokens(0, 1);
  Hold hold(*engine);
  engine->InspectCache(0, [](const auto&) { throw std::runtime_error("a caller's mistake"); });
  ASSERT_TRUE(engine->Submit(Request("a", 150), receiver.Sink(1)).ok());
  engine->Pause(PauseMode::kInPlace, [](const Status&) { throw std::runtime_error("again"); });
  ASSERT_TRUE(engine->Submit(Request("a", 150), receiver.Sink(2)).ok());
  engine->Continue([&](Status status) {
    resumed.set_value(std::move(status));
    throw std::runtime_error("and again");
  });
  engine->FlushCache(0, [&](Status status) { flushed.set_value(std::move(status)); });
  engine->InspectCache(0, [&](const auto& cache) { inspected.set_value(cache.status()); });
  hold.Free();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(receiver.End(i).last.finish->status.code(), StatusCode::kInternal) << i;
  }
  EXPECT_EQ(resumed.get_future().get().code(), StatusCode::kUnavailable);
  EXPECT_EQ(flushed.get_future().get().code(), StatusCode::kUnavailable);
  EXPECT_EQ(inspected.get_future().get().code(), StatusCode::kUnavailable);
  EXPECT_FALSE(engine->Snapshot().healthy);
  EXPECT_FALSE(engine->Submit(Request("a", 1), receiver.Sink(3)).ok());
}

TEST(Engine, ShuttingDownEndsWhatIsOpen) {
  Receiver receiver;
  {
    auto engine = MakeTestEngine({.script = Slow(milliseconds(2))});
    for (int i = 0; i < 20; ++i)
      ASSERT_TRUE(engine->Submit(Request("a", 190), receiver.Sink(i)).ok());
    receiver.WaitForTokens(0, 2);
  }
  EXPECT_EQ(receiver.ends(), 20);
  EXPECT_EQ(receiver.End(0).last.finish->status.code(), StatusCode::kUnavailable);
}

TEST(Engine, AStopEndsAllWhateverTheDeviceDoes) {
  std::atomic<bool> stuck{true};
  Receiver receiver;
  auto engine = MakeTestEngine({.script = [&](const StepPlan& plan) -> std::optional<StepOutcome> {
    while (plan.number >= 3 && stuck) std::this_thread::sleep_for(milliseconds(1));
    return std::nullopt;
  }});
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(engine->Submit(Request("a", 100), receiver.Sink(i)).ok());
  receiver.WaitForTokens(0, 1);
  std::promise<void> drained;
  engine->Drain([&] { drained.set_value(); });
  std::promise<Status> flushed;
  engine->FlushCache(0, [&](const Status& status) { flushed.set_value(status); });
  engine->Stop();
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(receiver.End(i).last.finish->status.code(), StatusCode::kUnavailable) << i;
  drained.get_future().wait();
  flushed.get_future().wait();
  EXPECT_EQ(engine->Submit(Request("a", 1), receiver.Sink(20)).status().code(),
            StatusCode::kUnavailable);
  engine->Stop();
  stuck = false;
}

TEST(Engine, ANameIsOneRequestsAtATime) {
  Receiver receiver;
  auto engine = MakeTestEngine({.script = Slow(milliseconds(2)), .max_queued = 2});
  GenerateRequest request = Request("a", 100);
  request.rid = "name";
  request.sampling.n = 2;
  ASSERT_TRUE(engine->Submit(request, receiver.Sink(0)).ok());
  const Status second = engine->Submit(request, receiver.Sink(1)).status();
  EXPECT_EQ(second.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(second), HasSubstr("rid: a request named 'name' is at work"));
  engine->AbortByRid("name", false);
  receiver.End(0, 0);
  receiver.End(0, 1);
  // Free from its last end on, and after a refusal.
  request.sampling.n = kRows + 3;
  EXPECT_EQ(engine->Submit(request, receiver.Sink(2)).status().code(),
            StatusCode::kResourceExhausted);
  request.sampling.n = 1;
  EXPECT_TRUE(engine->Submit(request, receiver.Sink(3)).ok());
}

TEST(Engine, FlushesTheCacheWhenIdleAndRefusesOtherwise) {
  Receiver receiver;
  auto engine = MakeTestEngine({.script = Slow(milliseconds(2))});
  const auto flush = [&] {
    std::promise<Status> done;
    engine->FlushCache(0, [&](Status status) { done.set_value(std::move(status)); });
    return done.get_future().get();
  };
  const std::string prompt(40, 'q');
  ASSERT_TRUE(engine->Submit(Request(prompt, 30), receiver.Sink(0)).ok());
  receiver.WaitForTokens(0, 1);
  EXPECT_FALSE(flush().ok());
  receiver.End(0);
  ASSERT_TRUE(engine->Submit(Request(prompt, 2), receiver.Sink(1)).ok());
  EXPECT_GT(receiver.End(1).last.cached_tokens, 0);
  std::promise<void> idle;
  while (!flush().ok()) std::this_thread::sleep_for(milliseconds(1));
  ASSERT_TRUE(engine->Submit(Request(prompt, 2), receiver.Sink(2)).ok());
  EXPECT_EQ(receiver.End(2).last.cached_tokens, 0);
}

TEST(Engine, SurvivesAThrowingReceiver) {
  Receiver receiver;
  auto engine = MakeTestEngine();
  ASSERT_TRUE(engine
                  ->Submit(Request("a", 50),
                           [](GenerateUpdate) { throw std::runtime_error("client gone"); })
                  .ok());
  ASSERT_TRUE(engine->Submit(Request("a", 5), receiver.Sink(0)).ok());
  EXPECT_EQ(receiver.End(0).text, "bcdef");
}

// Many clients that submit, abort and wait at random, with a cache too small for all of them.
TEST(Engine, EndsEveryRequestOnceUnderLoad) {
  auto engine = MakeTestEngine({.pages = 20, .max_queued = 100000});
  constexpr int kClients = 4, kEach = 60;
  Receiver receiver;
  std::atomic<int> accepted{0};
  std::vector<std::thread> clients;
  for (int client = 0; client < kClients; ++client) {
    clients.emplace_back([&, client] {
      for (int i = 0; i < kEach; ++i) {
        const int number = client * kEach + i;
        GenerateRequest request = Request(std::string(1 + number % 17, 'k'), 1 + number % 40);
        if (number % 3 == 0) request.sampling.stop = {"fgh"};
        const auto id = engine->Submit(request, receiver.Sink(number));
        if (id.ok()) ++accepted;
        if (id.ok() && number % 5 == 0) engine->Abort(*id);
        if (number % 7 == 0) receiver.End(number);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(accepted, kClients * kEach);
  for (int i = 0; i < accepted; ++i) EXPECT_EQ(receiver.End(i).ends, 1);
  std::promise<void> drained;
  engine->Drain([&] { drained.set_value(); });
  drained.get_future().wait();
  EXPECT_EQ(receiver.ends(), accepted);
  EXPECT_THAT(engine->metrics().Print(), HasSubstr("sglang:num_requests_total"));
}

GenerateRequest TurnRequest(const SessionParams& session, const std::string& rid,
                            std::string_view prompt, int max_new_tokens) {
  GenerateRequest request = Request(prompt, max_new_tokens);
  request.rid = rid;
  request.session = session;
  return request;
}

TEST(Engine, ARefusedTurnLeavesItsSessionAsItWas) {
  Receiver receiver;
  auto engine = MakeTestEngine();
  ASSERT_TRUE(engine->OpenSession({.id = "s"}).ok());
  ASSERT_TRUE(
      engine->Submit(TurnRequest({.id = "s"}, "a", std::string(99, 'a'), 1), receiver.Sink(0))
          .ok());
  receiver.End(0);
  // What was before counts among the log-probabilities that a reply may hold.
  GenerateRequest refused = TurnRequest({.id = "s", .rid = "a", .replace = true}, "a", "a", 1);
  refused.logprobs = {.enabled = true, .prompt_start = 0};
  refused.logprobs.token_ids.resize(200000);
  EXPECT_THAT(Message(engine->Submit(refused, receiver.Sink(1)).status()),
              HasSubstr("log-probabilities"));
  refused = TurnRequest({.id = "s", .replace = true}, "a", std::string(150, 'a'), 60);
  EXPECT_THAT(Message(engine->Submit(refused, receiver.Sink(1)).status()), HasSubstr("210"));
  ASSERT_TRUE(
      engine->Submit(TurnRequest({.id = "s", .rid = "a"}, "b", "c", 2), receiver.Sink(2)).ok());
  EXPECT_EQ(receiver.End(2).last.prompt_tokens, 101);
}

TEST(Engine, ALengthThatNobodyAskedForFitsBehindTheWholeOfATurn) {
  Receiver receiver;
  auto engine = MakeTestEngine();
  ASSERT_TRUE(engine->OpenSession({.id = "s"}).ok());
  ASSERT_TRUE(
      engine->Submit(TurnRequest({.id = "s"}, "a", std::string(150, 'a'), 1), receiver.Sink(0))
          .ok());
  receiver.End(0);
  GenerateRequest turn = TurnRequest({.id = "s", .rid = "a"}, "b", "a", 60);
  EXPECT_THAT(Message(engine->Submit(turn, receiver.Sink(1)).status()), HasSubstr("212"));
  turn.length_given = false;
  ASSERT_TRUE(engine->Submit(turn, receiver.Sink(1)).ok());
  EXPECT_EQ(receiver.End(1).last.completion_tokens, 200 - 152);
}

TEST(Engine, RefusedTurnsUseUpNothing) {
  Receiver receiver;
  auto engine = MakeTestEngine();
  ASSERT_TRUE(engine->OpenSession({.id = "s"}).ok());
  const std::string text(1 << 19, 'a');
  for (int i = 0; i < 10; ++i) {  // more than all sessions may hold
    const auto refused = engine->Submit(TurnRequest({.id = "s"}, "a", text, 1), receiver.Sink(0));
    EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument);
  }
  ASSERT_TRUE(engine->Submit(TurnRequest({.id = "s"}, "a", "a", 1), receiver.Sink(1)).ok());
  receiver.End(1);
}

TEST(Engine, ATurnGivenUpWhileItWaitedIsNotKept) {
  Receiver receiver;
  auto engine = MakeTestEngine();
  ASSERT_TRUE(engine->OpenSession({.id = "s"}).ok());
  std::promise<void> paused, resumed;
  engine->Pause(PauseMode::kInPlace, [&](const Status&) { paused.set_value(); });
  paused.get_future().wait();
  GenerateRequest request = TurnRequest({.id = "s"}, "a", "a", 5);
  request.timeout = milliseconds(1);
  ASSERT_TRUE(engine->Submit(request, receiver.Sink(0)).ok());
  EXPECT_EQ(receiver.End(0).last.finish->status.code(), StatusCode::kDeadlineExceeded);
  engine->Continue([&](const Status&) { resumed.set_value(); });
  resumed.get_future().wait();
  EXPECT_THAT(
      Message(engine->Submit(TurnRequest({.id = "s", .rid = "a"}, "b", "a", 1), {}).status()),
      HasSubstr("no request 'a'"));
}

// Positions of what the request brings become positions of the whole.
TEST(Engine, TheCheckpointsOfATurnMoveWithItsPrompt) {
  std::vector<int32_t> seen;  // written by the engine's thread before the request ends
  Receiver receiver;
  auto engine = MakeTestEngine({.make_request = [&](Arrival arrival, uint64_t sequence) {
    seen = arrival.checkpoints;
    return std::make_unique<banyan::Request>(std::move(arrival), sequence);
  }});
  ASSERT_TRUE(engine->OpenSession({.id = "s"}).ok());
  GenerateRequest first = TurnRequest({.id = "s"}, "a", "0123456789", 5);
  first.checkpoints = {4, 8};
  ASSERT_TRUE(engine->Submit(first, receiver.Sink(0)).ok());
  receiver.End(0);
  EXPECT_THAT(seen, ElementsAre(4, 8));
  GenerateRequest second = TurnRequest({.id = "s", .rid = "a"}, "b", "0123456789", 5);
  second.checkpoints = {4, 8};
  ASSERT_TRUE(engine->Submit(second, receiver.Sink(1)).ok());
  EXPECT_EQ(receiver.End(1).last.prompt_tokens, 25);
  EXPECT_THAT(seen, ElementsAre(19, 23));
}

TEST(Engine, WhatIsReplacedOrClosedIsAborted) {
  Receiver receiver;
  auto engine = MakeTestEngine({.script = Slow(milliseconds(2))});
  ASSERT_TRUE(engine->OpenSession({.id = "s"}).ok());
  GenerateRequest other = Request("a", 30);
  other.rid = "ab";  // of no session, with a name that begins as one of it does
  ASSERT_TRUE(engine->Submit(other, receiver.Sink(0)).ok());
  ASSERT_TRUE(engine->Submit(TurnRequest({.id = "s"}, "a", "a", 190), receiver.Sink(1)).ok());
  ASSERT_TRUE(
      engine->Submit(TurnRequest({.id = "s", .replace = true}, "b", "a", 190), receiver.Sink(2))
          .ok());
  EXPECT_EQ(receiver.End(1).last.finish->kind, FinishReason::Kind::kAbort);
  ASSERT_TRUE(engine->CloseSession("s").ok());
  EXPECT_EQ(receiver.End(2).last.finish->kind, FinishReason::Kind::kAbort);
  EXPECT_EQ(receiver.End(0).last.finish->kind, FinishReason::Kind::kLength);
}

TEST(Engine, TwoLiveSideBySide) {
  auto one = MakeTestEngine();
  Receiver receiver;
  auto two = MakeTestEngine({.max_inflight = 1});
  ASSERT_TRUE(one->Submit(Request("a", 5), receiver.Sink(0)).ok());
  ASSERT_TRUE(two->Submit(Request("b", 5), receiver.Sink(1)).ok());
  EXPECT_EQ(receiver.End(0).text, "bcdef");
  EXPECT_EQ(receiver.End(1).text, "cdefg");
}

}  // namespace
}  // namespace banyan
